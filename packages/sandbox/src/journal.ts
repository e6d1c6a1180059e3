import { readFile } from 'node:fs/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import type { SandboxState } from '@dormouse/lifecycle';
import { replaceFile } from '@dormouse/rootfs';
import { z } from 'zod';
import { SANDBOX_ID, type SandboxSpec } from './sandbox-spec.js';

/** What a host knows of a sandbox's life. A destroyed sandbox has no journal. */
export type HostState = Extract<SandboxState, 'pending' | 'running' | 'stopping' | 'stopped'>;

/** The durable truth about one sandbox: enough to find its VM, or to clean up after it, when the agent has died. */
export interface Journal {
  readonly version: 1;
  readonly id: string;
  readonly generation: number;
  readonly state: HostState;
  readonly spec: SandboxSpec;
  /** User of the VM process; absent where VMs run as the agent's own user. */
  readonly uid?: number | undefined;
  /** The VM process, once there is one. */
  readonly vm?: { readonly pid: number; readonly startTicks: number } | undefined;
  /** Why it stopped. */
  readonly reason?: string | undefined;
  readonly createdAtMs: number;
  readonly startedAtMs?: number | undefined;
}

const specSchema = z.object({
  template: z.string(),
  imageId: z.string(),
  user: z.string(),
  vcpus: z.int(),
  memoryMb: z.int(),
  diskBytes: z.int(),
  envs: z.record(z.string(), z.string()),
  internet: z.boolean(),
  hostname: z.string(),
});

const journalSchema: z.ZodType<Journal> = z.object({
  version: z.literal(1),
  id: z.string().regex(SANDBOX_ID),
  generation: z.int(),
  state: z.enum(['pending', 'running', 'stopping', 'stopped']),
  spec: specSchema,
  uid: z.int().optional(),
  vm: z.object({ pid: z.int(), startTicks: z.int() }).optional(),
  reason: z.string().optional(),
  createdAtMs: z.int(),
  startedAtMs: z.int().optional(),
});

/** Replaces a sandbox's journal; when this returns, the new one survives a power cut. */
export async function writeJournal(path: string, journal: Journal): Promise<void> {
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
