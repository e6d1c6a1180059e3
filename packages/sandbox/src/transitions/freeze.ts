import { stat, statfs } from 'node:fs/promises';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Guest } from '@dormouse/guest-link';
import type { Captured as CapturedMemory } from '@dormouse/page-server';
import type {
  CommitOptions,
  DiskBacking,
  GenerationDraft,
  GenerationFacts,
  Manifest,
  Pin,
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
/**
 * Generations that a captured memory may lie in. A longer chain is ended by a capture that has everything: a page map
 * has room for 1,024 sources, and each is an open file of a restore.
 */
const MAX_CAPTURE_SOURCES = 64;
/** What is not written out by then is in memory, which is kept. */
const SYNC_TIMEOUT_MS = 5_000;
/** A snapshot without memory is only as good as what was written out. */
const DISK_SYNC_TIMEOUT_MS = 120_000;

const DAMAGED_BASE =
  'the generation that the sandbox was restored from is damaged; capturing all of its memory';

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
 * @param draft what to capture into; the caller abandons it when this fails
 * @param devices as `MicroVm.freeze` has saved them
 * @param signal ends the capture
 */
export async function captureVm(
  environment: SandboxEnvironment,
  vm: Omit<Freezable, 'guest' | 'vm'>,
  draft: GenerationDraft,
  devices: Uint8Array,
  signal: AbortSignal,
): Promise<Captured> {
  const { store, layers, pageServers } = environment;
  const { spec, slot, disk } = vm;
  await draft.write('device.bin', devices);
  const server = await pageServers.acquire();
  try {
    const job = {
      root: store.root,
      ramPath: slot.memoryPath,
      pageCount: pageCountOf(spec),
      into: draft.captureTarget,
    };
    let parent = captureParent(environment, vm.memoryBase);
    const capture = (): Promise<CapturedMemory> =>
      server.capture(parent === undefined ? job : { ...job, parentId: parent }, signal);
    const { counts, workingSet } = await capture().catch(async (thrown: unknown) => {
      // The guest's memory is whole, whatever has become of what it is compared with.
      const error = fromUnknown(thrown);
      if (error.code !== 'snapshot_corrupt' || parent === undefined) throw error;
      environment.log.warn({ err: error }, DAMAGED_BASE);
      parent = undefined;
      await draft.discard('memory.pages', 'memory.map');
      return await capture();
    });
    if (workingSet.length > 0) await draft.writeWorkingSet(workingSet);
    await draft.adopt('disk.qcow2', layers.path(disk.layers[0]!));
    return {
      draft,
      commit: async (options) => {
        using lower = await lowerLayers(environment, spec, disk);
        const facts = {
          kind: 'full',
          ...(parent === undefined ? {} : { parent }),
          diskBacking: lower.backing,
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

/** What a capture is compared with: what the VM was restored from, unless that is damaged or lies in too many pieces. */
function captureParent(
  { store, log }: SandboxEnvironment,
  memoryBase: string | undefined,
): string | undefined {
  if (memoryBase === undefined) return undefined;
  try {
    const sources = store.read(memoryBase).memory?.sources ?? [];
    return sources.length < MAX_CAPTURE_SOURCES ? memoryBase : undefined;
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (error.code !== 'snapshot_corrupt') throw error;
    log.warn({ err: error }, DAMAGED_BASE);
    return undefined;
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
      using lower = await lowerLayers(environment, spec, disk);
      const machine = await machineFacts(environment, spec);
      return await commitTo(
        environment,
        draft,
        { kind: 'disk', diskBacking: lower.backing, machine },
        options,
      );
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

/** What a topmost layer lies on, kept from the collector until it is disposed. */
interface LowerLayers extends Disposable {
  readonly backing: DiskBacking;
}

/**
 * What the topmost layer lies on, as a generation. Layers in between, which a checkpoint that failed half-way has left,
 * become generations without memory. The caller keeps them until the generation that needs them is written down.
 */
async function lowerLayers(
  environment: SandboxEnvironment,
  spec: SandboxSpec,
  disk: Disk,
): Promise<LowerLayers> {
  const { store, layers } = environment;
  const pins: Pin[] = [];
  const release = (): void => {
    for (const pin of pins) pin[Symbol.dispose]();
  };
  try {
    let backing = disk.base;
    for (const layer of disk.layers.slice(1).toReversed()) {
      await using draft = await store.begin(backing.kind === 'generation' ? [backing.id] : []);
      await draft.adopt('disk.qcow2', layers.path(layer));
      const machine = await machineFacts(environment, spec);
      const onCommitted = async ({ id }: Manifest): Promise<void> => {
        pins.push(store.pin(id));
      };
      const { id } = await draft.commit({ kind: 'disk', diskBacking: backing, machine }, { onCommitted });
      backing = { kind: 'generation', id };
    }
    return { backing, [Symbol.dispose]: release };
  } catch (error) {
    release();
    throw error;
  }
}
