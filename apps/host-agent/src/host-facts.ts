import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { GetHostResponseSchema } from '@dormouse/host-api';
import type { Accelerator, SandboxHost } from '@dormouse/sandbox';

/** What is known of this host when the agent starts. */
export class HostFacts {
  readonly hostId: string;
  readonly #agentVersion: string;
  readonly #accelerator: Accelerator;
  readonly #qemuVersion: string;
  readonly #kernelVersion: string;

  constructor(
    hostId: string,
    versions: { readonly agent: string; readonly qemu: string; readonly kernel: string },
    accelerator: Accelerator,
  ) {
    this.hostId = hostId;
    this.#agentVersion = versions.agent;
    this.#qemuVersion = versions.qemu;
    this.#kernelVersion = versions.kernel;
    this.#accelerator = accelerator;
  }

  /** The facts together with what changes: room and number of sandboxes. */
  async describe(host: SandboxHost): Promise<MessageInitShape<typeof GetHostResponseSchema>> {
    const room = await host.room();
    return {
      hostId: this.hostId,
      agentVersion: this.#agentVersion,
      accelerator: this.#accelerator,
      qemuVersion: this.#qemuVersion,
      kernelVersion: this.#kernelVersion,
      cpuCount: cpus().length,
      memoryTotalBytes: BigInt(room.memoryTotalBytes),
      memoryAvailableBytes: BigInt(Math.floor(room.memoryLeftBytes)),
      diskAvailableBytes: BigInt(room.diskFreeBytes),
      sandboxCount: host.list().length,
    };
  }
}

/** A name for this host that stays the same from start to start, kept in its data directory. */
export async function hostId(dataDir: string): Promise<string> {
  const path = join(dataDir, 'host-id');
  const present = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (present !== '') return present;
  const id = randomUUID();
  await writeFile(path, `${id}\n`, { mode: 0o644, flush: true });
  return id;
}
