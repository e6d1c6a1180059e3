import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { SANDBOX_STATES, type SandboxState } from '@dormouse/lifecycle';
import { replaceFile } from '@dormouse/rootfs';
import { z } from 'zod';
import { DEFAULT_POLICY, type Policy, policySchema } from '../config/policy.js';
import { SANDBOX_ID, type SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import type { VmSlotRecord } from '../vm/vm-slots.js';

/** What a host knows of a sandbox's life. A destroyed sandbox has no journal. */
export type HostState = Exclude<SandboxState, 'error'>;

/** All of them, in the order of a life. */
export const HOST_STATES: readonly HostState[] = SANDBOX_STATES.filter((state) => state !== 'error');

/** The durable truth about one sandbox: enough to find its VM, or to clean up after it, when the agent has died. */
export interface Journal {
  readonly version: 3;
  readonly id: string;
  readonly generation: number;
  readonly state: HostState;
  readonly spec: SandboxSpec;
  readonly policy: Policy;
  /** The VM process and its place, while there is one. */
  readonly vm?: (VmSlotRecord & { readonly pid: number; readonly startTicks: number }) | undefined;
  /** The disk of the VM. */
  readonly disk?: Disk | undefined;
  /** The generation that the memory of the VM began with; absent after a boot. */
  readonly memoryBase?: string | undefined;
  /** Some of the memory of the VM is still to come: where it cannot, the sandbox is where it began. */
  readonly loading?: true | undefined;
  /** What a paused sandbox consists of. */
  readonly paused?: PausedMoment | undefined;
  /** The generation that a pause in progress is making. */
  readonly intent?: string | undefined;
  /** Why a pause in progress was begun, when nobody asked for it. */
  readonly intentCause?: PauseCause | undefined;
  /** Paused only because the host stopped: resumed when it is back. */
  readonly resumeAtStart?: boolean | undefined;
  /** How its present VM came to life, unless it was created so. */
  readonly resumedBy?: 'memory' | 'reboot' | undefined;
  /** The snapshot it was spawned from. */
  readonly snapshotId?: string | undefined;
  /** Why it is being removed, when nobody asked for it. */
  readonly stopCause?: 'timeout' | undefined;
  /** Why its VM ended, or why it was booted instead of restored. */
  readonly reason?: string | undefined;
  readonly createdAtMs: number;
  readonly startedAtMs?: number | undefined;
}

/**
 * Why a sandbox was paused, when nobody asked for it: its time had passed, the host stopped, or its VM had ended, which
 * leaves its disk.
 */
export type PauseCause = 'timeout' | 'shutdown' | 'vm_ended';

/** A frozen sandbox. */
export interface PausedMoment {
  readonly generationId: string;
  readonly kind: 'full' | 'disk';
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Absent: somebody asked for it. */
  readonly cause?: PauseCause | undefined;
}

export const specSchema: z.ZodType<SandboxSpec> = z.object({
  template: z.string(),
  imageId: z.string(),
  user: z.string(),
  workdir: z.string().optional(),
  vcpus: z.int(),
  memoryMb: z.int(),
  diskBytes: z.int(),
  envs: z.record(z.string(), z.string()),
  internet: z.boolean(),
  hostname: z.string(),
});

const backingSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('generation'), id: z.string() }),
  z.object({ kind: z.literal('image'), id: z.string() }),
]);

const causeSchema = z.enum(['timeout', 'shutdown', 'vm_ended']).optional();

const journalSchema: z.ZodType<Journal> = z.object({
  // Version 2 had no policy.
  version: z.literal([2, 3]).transform(() => 3 as const),
  id: z.string().regex(SANDBOX_ID),
  generation: z.int(),
  state: z.enum(HOST_STATES),
  spec: specSchema,
  policy: policySchema.default(DEFAULT_POLICY),
  vm: z
    .object({
      slot: z.string().regex(/^vm[0-9a-f]{16}$/),
      uid: z.int().optional(),
      pid: z.int(),
      startTicks: z.int(),
    })
    .optional(),
  disk: z.object({ layers: z.array(z.string()).min(1), base: backingSchema }).optional(),
  memoryBase: z.string().optional(),
  loading: z.literal(true).optional(),
  paused: z
    .object({
      generationId: z.string(),
      kind: z.enum(['full', 'disk']),
      atMs: z.int(),
      cause: causeSchema,
    })
    .optional(),
  intent: z.string().optional(),
  intentCause: causeSchema,
  resumeAtStart: z.boolean().optional(),
  resumedBy: z.enum(['memory', 'reboot']).optional(),
  snapshotId: z.string().optional(),
  stopCause: z.literal('timeout').optional(),
  reason: z.string().optional(),
  createdAtMs: z.int(),
  startedAtMs: z.int().optional(),
});

/** Replaces a sandbox's journal; when this returns, the new one survives a power cut. */
export async function writeJournal(path: string, journal: Journal): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  await replaceFile(path, JSON.stringify(journal), 0o600);
}

/**
 * Reads a journal; undefined when there is none.
 *
 * @throws DormouseError `internal` for one that cannot be understood
 */
export async function readJournal(path: string): Promise<Journal | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return journalSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new DormouseError('internal', `the journal ${path} cannot be understood`, { cause: error });
  }
}
