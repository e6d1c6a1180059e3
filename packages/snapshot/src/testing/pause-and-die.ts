import { writeFile } from 'node:fs/promises';
import { captureMemory } from '../memory/capture.js';
import { GenerationStore } from '../store/generation-store.js';
import { openMemory } from '../store/read-generation.js';
import { MACHINE } from './generations.js';

/** What a process is to do to a store. */
export interface PausePlan {
  readonly root: string;
  readonly ramPath: string;
  readonly pageCount: number;
  readonly parentId: string;
  /** Name of the step at which it kills itself. */
  readonly dieAt: string;
}

/**
 * Does what a pause does, then replaces a working set and collects. Runs in a process of its own, because that does
 * not survive the step it is told to die at.
 */
export async function pauseAndDie({ root, ramPath, pageCount, parentId, dieAt }: PausePlan): Promise<void> {
  const step = (name: string): void => {
    if (name === dieAt) process.kill(process.pid, 'SIGKILL');
  };
  const store = await GenerationStore.open(root);
  await using draft = await store.begin([parentId]);
  step('begun');
  using parent = openMemory(store, parentId);
  const { counts } = captureMemory({ ramPath, pageCount, parent, into: draft.captureTarget, onStep: step });
  await draft.write('device.bin', Buffer.from('device state'));
  await writeFile(`${ramPath}.disk`, 'disk layer');
  await draft.adopt('disk.qcow2', `${ramPath}.disk`);
  step('artifacts-there');
  await draft.commit({ kind: 'full', parent: parentId, machine: MACHINE, counts }, { onStep: step });
  await store.replaceWorkingSet(draft.id, [1]);
  step('working-set-replaced');
  await store.collect({ roots: () => [draft.id], graceMs: -1, onStep: step });
}
