import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { replaceFile, syncDirectory } from '@dormouse/rootfs';
import { z } from 'zod';
import { DEFAULT_POLICY, policySchema } from '../config/policy.js';
import { SANDBOX_ID, type SandboxSpec } from '../config/sandbox-spec.js';
import { HOST_STATES, type Journal, type PauseCause } from './journal.js';

/** The newest version of journals that this agent understands. */
const VERSION = 3;

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

/**
 * A journal as it is stored: the fields of all states side by side. The names are those of the agents before
 * `purpose`, so that one of them can still read what this one has written.
 */
const storedSchema = z.object({
  // Version 2 had no policy.
  version: z.literal([2, VERSION]),
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
  purpose: z.enum(['freeze', 'keep-disk', 'go-back']).optional(),
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

type Stored = z.infer<typeof storedSchema>;

/** Replaces a sandbox's journal; when this returns, the new one survives a power cut. */
export async function writeJournal(path: string, journal: Journal): Promise<void> {
  const directory = dirname(path);
  const made = await mkdir(directory, { recursive: true, mode: 0o711 });
  if (made !== undefined) await syncDirectory(dirname(directory));
  await replaceFile(path, JSON.stringify(journal), 0o600);
}

/**
 * Reads a journal; undefined when there is none.
 *
 * @throws DormouseError `setup_failed` for one that a newer agent has written; `internal` for one that cannot be
 *   understood. The system error where the file cannot be read, which says nothing about its content
 */
export async function readJournal(path: string): Promise<Journal | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  return decodeJournal(text, path);
}

/** The journal in a text. @param path names it in errors @throws as `readJournal` */
export function decodeJournal(text: string, path: string): Journal {
  try {
    const json: unknown = JSON.parse(text);
    requireKnownVersion(json, path);
    return fromStored(storedSchema.parse(json));
  } catch (error) {
    if (error instanceof DormouseError) throw error;
    throw new DormouseError('internal', `the journal ${path} cannot be understood`, { cause: error });
  }
}

function requireKnownVersion(json: unknown, path: string): void {
  if (typeof json !== 'object' || json === null || !('version' in json)) return;
  const { version } = json;
  if (typeof version !== 'number' || version <= VERSION) return;
  throw new DormouseError(
    'setup_failed',
    `the journal ${path} has version ${version}; this host agent understands up to ${VERSION}`,
    { suggestion: 'Start the newer version of Dormouse that used this data directory before.' },
  );
}

/** The journal that these stored fields mean. Earlier agents stored no `purpose`. */
function fromStored(stored: Stored): Journal {
  const { id, generation, spec, policy, snapshotId, createdAtMs, startedAtMs, resumedBy, reason } = stored;
  const common = { version: VERSION, id, generation, spec, policy, createdAtMs } as const;
  const known = { ...common, ...present({ snapshotId, startedAtMs, resumedBy, reason }) };
  const { vm, disk, memoryBase, loading, paused, intent, intentCause, resumeAtStart, stopCause } = stored;
  switch (stored.state) {
    case 'pending':
      return { ...known, state: 'pending' };
    case 'running':
      if (vm === undefined || disk === undefined) break;
      return { ...known, state: 'running', vm, disk, ...present({ memoryBase, loading }) };
    case 'snapshotting':
      if (vm === undefined || disk === undefined) break;
      return { ...known, state: 'snapshotting', vm, disk, ...present({ memoryBase }) };
    case 'pausing':
      return pausingFrom(stored, known) ?? lost(stored, known, intentCause);
    case 'paused':
    case 'resuming': {
      if (paused === undefined) throw new DormouseError('internal', 'a paused sandbox names no generation');
      return { ...known, state: stored.state, paused, ...present({ resumeAtStart }) };
    }
    case 'stopping':
      return { ...known, state: 'stopping', ...present({ vm, disk, stopCause }) };
    case 'stopped':
      return { ...known, state: 'stopped', reason: reason ?? 'it was stopped', ...present({ disk }) };
  }
  return lost(stored, known, intent === undefined ? undefined : intentCause);
}

type Known = Pick<Journal, 'version' | 'id' | 'generation' | 'spec' | 'policy' | 'createdAtMs'>;

function pausingFrom(stored: Stored, known: Known): Journal | undefined {
  const { vm, disk, memoryBase, intent, intentCause, reason = 'its VM ended' } = stored;
  if (intent === undefined) return undefined;
  const purpose = stored.purpose ?? purposeOf(stored);
  switch (purpose) {
    case 'go-back':
      return {
        ...known,
        state: 'pausing',
        purpose,
        intent,
        memoryBase: intent,
        reason,
        ...present({ vm, disk }),
      };
    case 'keep-disk':
      if (disk === undefined) return undefined;
      return {
        ...known,
        state: 'pausing',
        purpose,
        disk,
        intent,
        intentCause: intentCause ?? 'vm_ended',
        reason,
        ...present({ vm }),
      };
    case 'freeze':
      if (vm === undefined || disk === undefined) return undefined;
      return {
        ...known,
        state: 'pausing',
        purpose,
        vm,
        disk,
        intent,
        ...present({ memoryBase, intentCause }),
      };
  }
}

/** Earlier agents said it by which fields there were. */
function purposeOf({ vm, memoryBase, intent }: Stored): 'freeze' | 'keep-disk' | 'go-back' {
  if (intent === memoryBase) return 'go-back';
  return vm === undefined ? 'keep-disk' : 'freeze';
}

/** A sandbox that should have a VM and names none: its disk is kept, if there is one. */
function lost(stored: Stored, known: Known, cause: PauseCause | undefined): Journal {
  const { vm, disk, reason = 'it had no VM' } = stored;
  if (disk === undefined) return { ...known, state: 'stopped', reason };
  const intentCause = cause ?? 'vm_ended';
  return { ...known, state: 'pausing', purpose: 'keep-disk', disk, intentCause, reason, ...present({ vm }) };
}

/** The fields that have a value. */
function present<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: NonNullable<Fields[Name]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
