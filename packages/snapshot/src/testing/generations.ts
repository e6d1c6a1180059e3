import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { captureMemory } from '../memory/capture.js';
import type { CommitOptions } from '../store/draft.js';
import type { GenerationStore } from '../store/generation-store.js';
import type { MachineFacts } from '../store/machine.js';
import type { DiskBacking, Manifest } from '../store/manifest.js';
import { openMemory } from '../store/read-generation.js';
import { type Contents, writeRam } from './guest-memory.js';

/** Facts of a machine that exists only in tests. */
export const MACHINE: MachineFacts = {
  qemuVersion: '7.2.22',
  cpuModel: 'max',
  vcpus: 1,
  memoryBytes: 8 * 4096,
};

export interface MakeOptions extends CommitOptions {
  readonly parent?: string;
  readonly diskBacking?: DiskBacking;
  readonly compress?: boolean;
  readonly framePages?: number;
  readonly workingSet?: readonly number[];
}

/** Makes a generation of a guest with these contents, the way a pause does. */
export async function makeGeneration(
  store: GenerationStore,
  contents: Contents,
  options: MakeOptions = {},
): Promise<Manifest> {
  const { parent } = options;
  await using draft = await store.begin(parent === undefined ? [] : [parent]);
  const ramPath = join(store.root, `.ram-${draft.id}`);
  try {
    writeRam(ramPath, contents);
    using memory = parent === undefined ? undefined : openMemory(store, parent);
    const { counts } = captureMemory({
      ramPath,
      pageCount: contents.length,
      into: draft.captureTarget,
      ...(memory === undefined ? {} : { parent: memory }),
      ...(options.compress === undefined ? {} : { compress: options.compress }),
      ...(options.framePages === undefined ? {} : { framePages: options.framePages }),
    });
    await draft.write('device.bin', Buffer.from(`device state of ${draft.id}`));
    await draft.write('disk.qcow2', Buffer.from(`disk layer of ${draft.id}`));
    if (options.workingSet !== undefined) await draft.writeWorkingSet(options.workingSet);
    const { diskBacking } = options;
    return await draft.commit(
      {
        kind: 'full',
        machine: MACHINE,
        counts,
        ...(parent === undefined ? {} : { parent }),
        ...(diskBacking === undefined ? {} : { diskBacking }),
      },
      options,
    );
  } finally {
    await rm(ramPath, { force: true });
  }
}
