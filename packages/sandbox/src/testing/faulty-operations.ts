import { setTimeout as delay } from 'node:timers/promises';
import { newSandboxId } from '../config/sandbox-spec.js';
import type { HostState } from '../records/journal.js';
import { injectFaults, NEEDS_ROOM } from './faults.js';
import { pageServersOf } from './host-processes.js';
import { check, copyOf, type Model, type ModelSandbox, type Real } from './sandbox-model.js';
import { REGION_PAGES, Witness } from './witness.js';

/** A generous safety net: a sandbox settles within a second on a quiet machine. */
const SETTLE_MS = 120_000;
/** What a host with faults is, besides what a model is held against. */
export interface FaultyReal extends Real {
  readonly dataDir: string;
  /** Lets go of all VMs and opens the host again, as the next agent does. */
  reopen(): Promise<void>;
  /** Takes back what the host has warned of: it was meant. */
  forgetWarnings(): void;
}

/** Runs something while a file system call of it fails, or, as on a full disk, all that need room do. */
async function withFault(
  { dataDir }: FaultyReal,
  seed: number,
  run: () => Promise<unknown>,
): Promise<boolean> {
  const at = Math.floor(seed / 3) % 90;
  const kind = (['EIO', 'EMFILE', 'ENOSPC'] as const)[seed % 3]!;
  let count = 0;
  using _faults = await injectFaults(({ name, path }) => {
    if (!path.startsWith(dataDir) && !name.startsWith('FileHandle.')) return undefined;
    const index = count++;
    if (kind === 'ENOSPC') return index >= at && NEEDS_ROOM.has(name) ? kind : undefined;
    return index === at ? kind : undefined;
  });
  return await run().then(
    () => true,
    () => false,
  );
}

/** Waits until a sandbox is in no state in between. */
async function settled({ host }: Real, id: string): Promise<HostState | undefined> {
  const endMs = performance.now() + SETTLE_MS;
  for (;;) {
    const sandbox = host.list().find((one) => one.id === id);
    const state = sandbox?.journal.state;
    if (state === undefined || state === 'paused' || state === 'stopped') return state;
    if (state === 'running' && sandbox?.vmPid !== undefined) return state;
    if (performance.now() > endMs) throw new Error(`${id} stays ${state}`);
    await delay(20);
  }
}

/** The sandbox is what the model says, whatever the operation has come to. */
async function expectWhole(real: FaultyReal, one: ModelSandbox): Promise<void> {
  const state = await settled(real, one.id);
  const { journal } = real.host.get(one.id);
  if (state !== 'running' && state !== 'paused') throw new Error(`${one.id} is ${state}: ${journal.reason}`);
  if (journal.paused?.kind === 'disk') throw new Error(`${one.id} has lost its memory: ${journal.reason}`);
  one.state = state;
  one.generation = journal.generation;
  if (state === 'running') await check(real, one);
  real.forgetWarnings();
}

/** A pause in which something fails: the sandbox is paused, or it runs on. */
export async function faultyPause(real: FaultyReal, one: ModelSandbox, seed: number): Promise<void> {
  await withFault(real, seed, () => real.host.pause(one.id, one.generation, 'full'));
  await expectWhole(real, one);
}

/** A resume in which something fails: the sandbox runs, or it stays paused. */
export async function faultyResume(real: FaultyReal, one: ModelSandbox, seed: number): Promise<void> {
  await withFault(real, seed, () => real.host.resume(one.id, one.generation + 1));
  await expectWhole(real, one);
}

/** A checkpoint in which something fails: there is a snapshot, or there is none. */
export async function faultyCheckpoint(
  model: Model,
  real: FaultyReal,
  one: ModelSandbox,
  seed: number,
): Promise<void> {
  const id = newSandboxId().replace('sb', 'sn');
  const succeeded = await withFault(real, seed, () => real.host.createSnapshot(id, one.id, 'full'));
  if (succeeded) model.snapshots.push({ id, content: copyOf(one.content) });
  else await real.host.deleteSnapshot(id);
  await expectWhole(real, one);
}

/** A fork in which something fails: there is a child, or there is none. */
export async function faultyFork(
  model: Model,
  real: FaultyReal,
  one: ModelSandbox,
  seed: number,
): Promise<void> {
  const child = { id: newSandboxId(), generation: 1 };
  await withFault(real, seed, () => real.host.fork(one.id, [child]));
  await expectWhole(real, one);
  if (!real.host.list().some(({ id }) => id === child.id)) return;
  const state = await settled(real, child.id);
  if (state === undefined) return;
  const sandbox: ModelSandbox = {
    id: child.id,
    state: 'running',
    generation: 1,
    content: copyOf(one.content),
  };
  await expectWhole(real, sandbox);
  model.sandboxes.push(sandbox);
}

/** A deletion in which something fails, repeated until it succeeds. */
export async function faultyDelete(
  model: Model,
  real: FaultyReal,
  one: ModelSandbox,
  seed: number,
): Promise<void> {
  await withFault(real, seed, () => real.host.destroy(one.id));
  await real.host.destroy(one.id);
  real.forgetWarnings();
  model.sandboxes.splice(model.sandboxes.indexOf(one), 1);
}

/** The host agent goes, and another one takes over. */
export async function restartAgent(model: Model, real: FaultyReal): Promise<void> {
  await real.reopen();
  for (const one of model.sandboxes) await expectWhole(real, one);
}

/** The VM is killed after its files were written out: the sandbox boots from its disk. */
export async function loseVm(real: FaultyReal, one: ModelSandbox): Promise<void> {
  const sandbox = real.host.get(one.id);
  // A VM whose memory is still coming would be restored again.
  await sandbox.loaded();
  await sandbox.replacePaused('', '');
  const files = await new Witness(sandbox).filesOnDisk();
  process.kill(sandbox.vmPid!, 'SIGKILL');
  const endMs = performance.now() + SETTLE_MS;
  while (sandbox.journal.state !== 'paused') {
    if (performance.now() > endMs) throw new Error(`${one.id} stays ${sandbox.journal.state}`);
    await delay(20);
  }
  await real.host.resume(one.id, one.generation + 1);
  if (sandbox.journal.resumedBy !== 'reboot') throw new Error(`${one.id} was not booted`);
  const witness = await Witness.start(sandbox);
  if (JSON.stringify(await witness.filesOnDisk()) !== JSON.stringify(files))
    throw new Error(`${one.id} lacks files`);
  const { pid, count, nameless } = await witness.state();
  one.generation += 1;
  const content = {
    files: { memory: {}, disk: one.content.files.disk },
    pages: Array.from({ length: REGION_PAGES }, () => 0),
    count,
    pid,
    nameless,
  };
  Object.assign(one.content, content);
  await check(real, one);
  real.forgetWarnings();
}

/** A page server is killed while it may be restoring the sandbox: the sandbox is restored again. */
export async function losePageServer(real: FaultyReal, one: ModelSandbox): Promise<void> {
  await real.host.resume(one.id, one.generation + 1);
  for (const pid of await pageServersOf(real.dataDir)) process.kill(pid, 'SIGKILL');
  await real.host.get(one.id).loaded();
  // What becomes of a restore that broke off is done in a turn of the sandbox, before this one.
  await real.host.get(one.id).replacePaused('', '');
  await expectWhole(real, one);
  if (one.state === 'paused') await faultyResume(real, one, 89 * 3);
}
