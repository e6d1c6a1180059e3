import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeGeneration } from '../testing/generations.js';
import { readContents, writeRam } from '../testing/guest-memory.js';
import { type PausePlan, pauseAndDie } from '../testing/pause-and-die.js';
import { type TemporaryDirectory, temporaryDirectory } from '../testing/temporary-directory.js';
import { transpilePackage } from '../testing/transpiled-package.js';
import { GenerationStore } from './generation-store.js';
import { openMemory, readWorkingSet } from './read-generation.js';

const OLD = [1, 2, 3, 4, 5, 6, 7, 8];
const NEW = [1, 0, 3, 9, 5, 6, 7, 8];

/** What must be there when a process was killed at a step: the new generation, and those that nothing needs. */
const STEPS = [
  { step: 'begun', made: false, unneeded: 2 },
  { step: 'pages-written', made: false, unneeded: 2 },
  { step: 'map-written', made: false, unneeded: 2 },
  { step: 'artifacts-there', made: false, unneeded: 2 },
  { step: 'artifacts-hashed', made: false, unneeded: 2 },
  { step: 'manifest-written', made: false, unneeded: 2 },
  { step: 'files-synced', made: false, unneeded: 2 },
  { step: 'directory-synced', made: false, unneeded: 2 },
  { step: 'renamed', made: true, unneeded: 2 },
  { step: 'committed', made: true, unneeded: 2 },
  { step: 'working-set-replaced', made: true, unneeded: 2 },
  { step: 'manifests-read', made: true, unneeded: 2 },
  { step: 'victims-renamed', made: true, unneeded: 0 },
  { step: 'victim-removed', made: true, unneeded: 0 },
  { step: 'swept', made: true, unneeded: 0 },
  { step: 'none', made: true, unneeded: 0 },
] as const;

describe('a process that is killed while it makes a generation and collects others', () => {
  let code: TemporaryDirectory;
  let program: string;

  beforeAll(async () => {
    code = await temporaryDirectory();
    program = join(transpilePackage(code.path), 'testing', 'pause-and-die.js');
  });

  afterAll(async () => {
    await code[Symbol.asyncDispose]();
  });

  test.each(STEPS)(
    'hazards 4, 5 and 16: leaves the old state or the new one, and nothing else ($step)',
    async ({ step, made, unneeded }) => {
      await using directory = await temporaryDirectory();
      const root = join(directory.path, 'generations');
      const store = await GenerationStore.open(root);
      const parent = await makeGeneration(store, OLD);
      const others = [await makeGeneration(store, [7]), await makeGeneration(store, [8, 8])];
      await mkdir(join(directory.path, 'guest'));
      const ramPath = join(directory.path, 'guest', 'ram');
      writeRam(ramPath, NEW);

      const plan: PausePlan = { root, ramPath, pageCount: NEW.length, parentId: parent.id, dieAt: step };
      const script = `import { ${pauseAndDie.name} as run } from ${JSON.stringify(program)};
      await run(${JSON.stringify(plan)});`;
      const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const [exitCode, signal] = await once(child, 'exit');
      expect([exitCode, signal]).toEqual(step === 'none' ? [0, null] : [null, 'SIGKILL']);

      const after = await GenerationStore.open(root);
      const ids = await after.list();
      const fresh = ids.filter((id) => id !== parent.id && others.every((other) => other.id !== id));
      expect(fresh.length).toBe(made ? 1 : 0);
      expect(ids).toContain(parent.id);
      expect(ids.length - 1 - fresh.length).toBe(unneeded);
      if (STEPS.findIndex((row) => row.step === step) >= 3) {
        expect(await readFile(`${ramPath}.disk`, 'utf8')).toBe('disk layer');
      }
      for (const id of ids) await after.verify(id, { deep: true });
      expect(contentsOf(after, parent.id)).toEqual(OLD);
      for (const id of fresh) {
        expect(contentsOf(after, id)).toEqual(NEW);
        expect(readWorkingSet(after, id, NEW.length).problem).toBeUndefined();
      }
      expect((await readdir(root)).toSorted()).toEqual(['.stamps', ...ids]);
      const stamps = await readdir(join(root, '.stamps'));
      expect(stamps.filter((id) => !ids.includes(id))).toEqual([]);
      // And it can simply be done again.
      await makeGeneration(after, NEW, { parent: parent.id });
    },
  );
});

function contentsOf(store: GenerationStore, id: string): number[] {
  using memory = openMemory(store, id);
  return readContents(memory);
}
