import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@dormouse/errors';
import { replaceFile } from '@dormouse/rootfs';
import type { MachineFacts } from '@dormouse/snapshot';
import { z } from 'zod';

const recordSchema = z.object({ version: z.literal(1), key: z.string(), generationId: z.string() });

/**
 * Which generation a template was frozen into, booted and ready. The key says everything the frozen moment depends on,
 * so another kernel, agent, image or VMM is another key, and the old record goes.
 */
export class FrozenTemplates {
  readonly #dir: string;
  readonly #byName = new Map<string, { readonly key: string; readonly generationId: string }>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(dir: string): Promise<FrozenTemplates> {
    const frozen = new FrozenTemplates(dir);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(dir)) {
      if (!name.endsWith('.json')) continue;
      try {
        const record = recordSchema.parse(JSON.parse(await readFile(join(dir, name), 'utf8')));
        frozen.#byName.set(name.slice(0, -'.json'.length), record);
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') continue;
        if (systemErrorCode(error) !== undefined) throw error;
        // Nothing but time is lost: it is frozen again.
        await rm(join(dir, name), { force: true });
      }
    }
    return frozen;
  }

  /** Generations to keep. */
  generations(): readonly string[] {
    return [...this.#byName.values()].map(({ generationId }) => generationId);
  }

  find(template: string, imageId: string, facts: MachineFacts): string | undefined {
    const record = this.#byName.get(template);
    return record?.key === keyOf(imageId, facts) ? record.generationId : undefined;
  }

  async put(template: string, imageId: string, facts: MachineFacts, generationId: string): Promise<void> {
    const record = { version: 1, key: keyOf(imageId, facts), generationId } as const;
    await replaceFile(join(this.#dir, `${template}.json`), JSON.stringify(record), 0o600);
    this.#byName.set(template, record);
  }
}

function keyOf(imageId: string, facts: MachineFacts): string {
  const sorted = Object.entries(facts).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([imageId, sorted]))
    .digest('hex');
}
