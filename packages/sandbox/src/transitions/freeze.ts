import { stat, statfs } from 'node:fs/promises';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Guest } from '@dormouse/guest-link';
import type {
  CommitOptions,
  DiskBacking,
  GenerationDraft,
  GenerationFacts,
  Manifest,
} from '@dormouse/snapshot';
import type { MicroVm } from '@dormouse/vmm';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import type { SandboxEnvironment } from '../environment.js';
import { machineFacts, pageCountOf } from '../vm/machine.js';
import type { VmSlot } from '../vm/vm-slots.js';

const MIB = 1024 * 1024;
/** Besides the memory itself: devices, page map, journal, the next layer. */
const ROOM_MARGIN_BYTES = 64 * MIB;
const BLOCK_BYTES = 512;
/** What is not written out by then is in memory, which is kept. */
const SYNC_TIMEOUT_MS = 5_000;
/** A snapshot without memory is only as good as what was written out. */
const DISK_SYNC_TIMEOUT_MS = 120_000;

/** A running sandbox, as far as freezing it goes. */
export interface Freezable {
  readonly spec: SandboxSpec;
  readonly vm: MicroVm;
  readonly guest: Guest;
  readonly slot: VmSlot;
  readonly disk: Disk;
  /** What its memory was restored from; undefined after a boot. */
  readonly memoryBase: string | undefined;
}

/**
 * Refuses a freeze for which there is no room, before the VM is stopped.
 *
 * @throws DormouseError `no_space`
 */
export async function checkFreezeRoom(dataDir: string, memoryPath: string): Promise<void> {
  const [{ blocks }, disk] = await Promise.all([stat(memoryPath), statfs(dataDir)]);
  const needed = blocks * BLOCK_BYTES + ROOM_MARGIN_BYTES;
  const free = disk.bavail * disk.bsize;
  if (free >= needed) return;
  throw new DormouseError(
    'no_space',
    `a snapshot may need ${Math.ceil(needed / MIB)} MiB and the host's disk has ${Math.floor(free / MIB)} MiB left`,
    {
      suggestion: 'Delete snapshots or sandboxes that are no longer needed, or free disk space on the host.',
    },
  );
}

/** Prepares a guest: what is written goes to the disk as far as it can, then every program stands still. */
export async function holdGuest(
  environment: SandboxEnvironment,
  guest: Guest,
  kind: Manifest['kind'],
): Promise<void> {
  if (kind === 'disk') {
    await guest.hold();
    await guest.freeze({ timeoutMs: DISK_SYNC_TIMEOUT_MS });
    return;
  }
  await guest.sync({ timeoutMs: SYNC_TIMEOUT_MS }).catch((error: unknown) => {
    environment.log.warn({ err: fromUnknown(error) }, 'the guest did not write out its files in time');
  });
  await guest.hold();
}

/** A generation that has everything of a frozen VM, and is not committed. */
export interface Captured {
  readonly draft: GenerationDraft;
  commit(options?: CommitOptions): Promise<Manifest>;
}

/**
 * Captures a VM that stands still: devices, memory as far as it differs from what it was restored from, disk.
 *
 * @param draft what to capture into; whoever gave it abandons it when this fails
 * @param devices as `MicroVm.freeze` has saved them
 */
export async function captureVm(
  environment: SandboxEnvironment,
  vm: Omit<Freezable, 'guest' | 'vm'>,
  draft: GenerationDraft,
  devices: Uint8Array,
): Promise<Captured> {
  const { store, layers, pageServers } = environment;
  const { spec, slot, disk, memoryBase } = vm;
  await draft.write('device.bin', devices);
  const server = await pageServers.acquire();
  try {
    const { counts, workingSet } = await server.capture({
      root: store.root,
      ramPath: slot.memoryPath,
      pageCount: pageCountOf(spec),
      ...(memoryBase === undefined ? {} : { parentId: memoryBase }),
      into: draft.captureTarget,
    });
    if (workingSet.length > 0) await draft.writeWorkingSet(workingSet);
    await draft.adopt('disk.qcow2', layers.path(disk.layers[0]!));
    return {
      draft,
      commit: async (options) => {
        const facts = {
          kind: 'full',
          ...(memoryBase === undefined ? {} : { parent: memoryBase }),
          diskBacking: await lowerLayers(environment, spec, disk),
          machine: await machineFacts(environment, spec),
          counts,
        } as const;
        return await commitTo(environment, draft, facts, options);
      },
    };
  } finally {
    await pageServers.release(server);
  }
}

/** The disk alone of a VM that stands still, with its file systems frozen. */
export async function captureDisk(
  environment: SandboxEnvironment,
  { spec, disk }: Pick<Freezable, 'spec' | 'disk'>,
  draft: GenerationDraft,
): Promise<Captured> {
  await draft.adopt('disk.qcow2', environment.layers.path(disk.layers[0]!));
  return {
    draft,
    commit: async (options) => {
      const diskBacking = await lowerLayers(environment, spec, disk);
      const machine = await machineFacts(environment, spec);
      return await commitTo(environment, draft, { kind: 'disk', diskBacking, machine }, options);
    },
  };
}

async function commitTo(
  { observer }: SandboxEnvironment,
  draft: GenerationDraft,
  facts: GenerationFacts,
  options: CommitOptions | undefined,
): Promise<Manifest> {
  const manifest = await draft.commit(facts, options);
  observer?.committed(manifest);
  return manifest;
}

/**
 * What the topmost layer lies on, as a generation. Layers in between, which a checkpoint that failed half-way has left,
 * become generations without memory.
 */
async function lowerLayers(
  environment: SandboxEnvironment,
  spec: SandboxSpec,
  disk: Disk,
): Promise<DiskBacking> {
  let backing = disk.base;
  for (const layer of disk.layers.slice(1).toReversed()) {
    await using draft = await environment.store.begin(backing.kind === 'generation' ? [backing.id] : []);
    await draft.adopt('disk.qcow2', environment.layers.path(layer));
    const machine = await machineFacts(environment, spec);
    const { id } = await draft.commit({ kind: 'disk', diskBacking: backing, machine });
    backing = { kind: 'generation', id };
  }
  return backing;
}
