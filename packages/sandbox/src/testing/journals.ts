import { DEFAULT_POLICY } from '../config/policy.js';
import type { Journal } from '../records/journal.js';

/** An id that differs in its last letters. */
export function sandboxId(name: string): string {
  return `sb${name.padStart(20, '0')}`;
}

/** A VM that has ended long ago, as a journal names it. */
export const DEAD_VM: NonNullable<Journal['vm']> = {
  slot: 'vm0123456789abcdef',
  pid: 4_194_305,
  startTicks: 1,
};

/** A journal as of a sandbox that runs, with some of it changed. */
export function journalOf(id: string, change: Partial<Journal> = {}): Journal {
  return {
    version: 3,
    id,
    generation: 1,
    state: 'running',
    spec: {
      template: 'base',
      imageId: 'img0123456789abcdefghij',
      user: 'user',
      vcpus: 1,
      memoryMb: 512,
      diskBytes: 8_589_934_592,
      envs: { GREETING: 'grüezi' },
      internet: true,
      hostname: id,
    },
    policy: DEFAULT_POLICY,
    createdAtMs: 1_767_323_045_678,
    ...change,
  };
}
