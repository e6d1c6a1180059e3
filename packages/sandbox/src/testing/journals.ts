import { DEFAULT_POLICY } from '../config/policy.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import {
  type PendingJournal,
  pending,
  type RunningJournal,
  started,
  type VmRecord,
} from '../records/journal.js';

/** An id that differs in its last letters. */
export function sandboxId(name: string): string {
  return `sb${name.padStart(20, '0')}`;
}

/** A VM that has ended long ago, as a journal names it. */
export const DEAD_VM: VmRecord = {
  slot: 'vm0123456789abcdef',
  pid: 4_194_305,
  startTicks: 1,
};

const IMAGE_ID = 'img0123456789abcdefghij';
const CREATED_AT_MS = 1_767_323_045_678;
export const STARTED_AT_MS: number = CREATED_AT_MS + 1_000;

/** A disk with one layer on an image; there is no file of it. */
export const DISK: Disk = { layers: [`ly${'0'.repeat(32)}`], base: { kind: 'image', id: IMAGE_ID } };

/** A sandbox of the template `base`. */
export function specOf(id: string): SandboxSpec {
  return {
    template: 'base',
    imageId: IMAGE_ID,
    user: 'user',
    vcpus: 1,
    memoryMb: 512,
    diskBytes: 8_589_934_592,
    envs: { GREETING: 'grüezi' },
    internet: true,
    hostname: id,
  };
}

/** The journal of a sandbox that is being made. */
export function pendingOf(id: string, generation = 1): PendingJournal {
  return pending({ id, generation, spec: specOf(id), policy: DEFAULT_POLICY, createdAtMs: CREATED_AT_MS });
}

/** The journal of a sandbox that runs in a VM that has ended, with some of it changed. */
export function runningOf(id: string, change: Partial<RunningJournal> = {}): RunningJournal {
  return { ...started(pendingOf(id), { vm: DEAD_VM, disk: DISK }, STARTED_AT_MS), ...change };
}

/** A journal as version 3 stored it before `purpose`: the fields of all states side by side. */
export function storedOf(id: string, fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { version, generation, spec, policy, createdAtMs } = pendingOf(id);
  return { version, id, generation, spec, policy, createdAtMs, ...fields };
}
