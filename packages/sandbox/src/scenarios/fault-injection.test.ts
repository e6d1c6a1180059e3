import { afterAll, describe, expect, test } from 'vitest';
import type { HostState } from '../records/journal.js';
import { type Faults, injectFaults, NEEDS_ROOM } from '../testing/faults.js';
import { ModelHost, NO_REMAINS, words } from '../testing/model/model-host.js';

/** How file system calls fail: one of them, or every one from it on until the operation is over. */
const MODES = [
  { code: 'EIO', sticky: false },
  { code: 'EMFILE', sticky: false },
  { code: 'ENOSPC', sticky: true },
] as const;
/** Every n-th call site is tried in a run, another share of them each time: all of them with `DORMOUSE_EVERY_FAULT`. */
const SHARE = process.env.DORMOUSE_EVERY_FAULT === undefined ? 7 : 1;
const OFFSET = Math.floor(Date.now() / 86_400_000);

/** What is there before the operation: one sandbox that remembers, and a snapshot of an earlier time of it. */
interface Scene {
  readonly model: ModelHost;
  readonly id: string;
  readonly snapshot: string;
}

interface Operation {
  readonly name: string;
  readonly before: 'running' | 'paused';
  readonly run: (scene: Scene) => Promise<unknown>;
  /** The sandbox is to go: it may be gone, or as it was. */
  readonly removes?: boolean;
  /** What the sandbox remembers at last may lack its memory: its VM was ended from outside. */
  readonly losesVm?: boolean;
}

const OPERATIONS: readonly Operation[] = [
  { name: 'pause', before: 'running', run: ({ model, id }) => model.pause(id) },
  {
    name: 'pause without memory',
    before: 'running',
    run: ({ model, id }) => model.pause(id, 'disk'),
    losesVm: true,
  },
  { name: 'resume', before: 'paused', run: ({ model, id }) => model.resume(id) },
  {
    name: 'reboot',
    before: 'paused',
    run: ({ model, id }) =>
      model.host.resume(id, model.host.get(id).journal.generation + 1, { reboot: true }),
    losesVm: true,
  },
  { name: 'checkpoint', before: 'running', run: ({ model, id }) => model.snapshot(id) },
  {
    name: 'fork',
    before: 'running',
    run: async ({ model, id }) => {
      const [child] = await model.host.fork(id, [{ id: `sb${'f'.repeat(20)}`, generation: 1 }]);
      if (child !== undefined && 'error' in child) throw child.error;
    },
  },
  { name: 'spawn', before: 'running', run: ({ model, snapshot }) => model.spawn(snapshot) },
  { name: 'create', before: 'running', run: ({ model }) => model.create('other') },
  { name: 'expire', before: 'running', run: ({ model, id }) => model.host.get(id).expire(() => true) },
  { name: 'collect', before: 'running', run: ({ model }) => model.host.collect(-1) },
  { name: 'destroy', before: 'running', run: ({ model, id }) => model.host.destroy(id), removes: true },
  {
    name: 'lose the VM',
    before: 'running',
    losesVm: true,
    run: async ({ model, id }) => {
      model.vm(id).end();
      // Long enough for several attempts; those that fail are repeated once nothing fails any more.
      for (let waited = 0; waited < 100 && model.host.get(id).journal.state !== 'paused'; waited++) {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
  },
  { name: 'take over', before: 'running', run: ({ model }) => model.reopen() },
  {
    name: 'take over what has lost its VM',
    before: 'running',
    losesVm: true,
    run: async ({ model }) => {
      await model.host.release();
      model.machines.cutPower();
      await model.reopen();
    },
  },
];

const found: string[] = [];

afterAll(() => {
  process.stdout.write(`${found.join('\n')}\n`);
});

async function scene(before: Operation['before']): Promise<Scene> {
  const model = await ModelHost.open();
  const id = await model.create('one');
  const snapshot = await model.snapshot(id);
  model.remember(id, 'two');
  if (before === 'paused') await model.pause(id);
  return { model, id, snapshot };
}

/** Waits until the sandbox is in no state in between, or gone. */
async function settled(model: ModelHost, id: string): Promise<HostState | undefined> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    const sandbox = model.host.list().find((one) => one.id === id);
    const { state } = sandbox?.journal ?? { state: undefined };
    const isWhole = state !== 'running' || model.machines.find(sandbox?.vmPid)?.runs === true;
    if ((state === undefined || state === 'running' || state === 'paused' || state === 'stopped') && isWhole)
      return state;
    if (performance.now() > endMs) throw new Error(`the sandbox stays ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Runs an operation with faults from one call on. Answers the calls there were and whether it succeeded. */
async function runWithFault(
  { model, ...rest }: Scene,
  { run }: Operation,
  at: number,
  { code, sticky }: (typeof MODES)[number],
): Promise<{ readonly calls: Faults['calls']; readonly hit: string; readonly succeeded: boolean }> {
  const { dataDir } = model.config;
  let count = 0;
  let hit = '';
  const faults = await injectFaults(({ name, path }) => {
    if (!path.startsWith(dataDir) && !name.startsWith('FileHandle.')) return undefined;
    const index = count++;
    if (sticky ? index < at || !NEEDS_ROOM.has(name) : index !== at) return undefined;
    hit ||= `${name} ${path.slice(dataDir.length)}`;
    return code;
  });
  try {
    await run({ model, ...rest });
    return { calls: faults.calls, hit, succeeded: true };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { calls: faults.calls, hit, succeeded: false };
  } finally {
    faults.restore();
  }
}

describe.each(OPERATIONS)('hazards 4, 5, 16 and 18: $name, when a file system call fails,', (operation) => {
  test.each(MODES)('with $code, loses nothing and ends no healthy VM', { timeout: 600_000 }, async (mode) => {
    const counting = await scene(operation.before);
    const { calls } = await runWithFault(counting, operation, Number.POSITIVE_INFINITY, mode);
    const { dataDir } = counting.model.config;
    const sites = calls.filter(
      ({ name, path }) => path.startsWith(dataDir) || name.startsWith('FileHandle.'),
    ).length;
    await counting.model[Symbol.asyncDispose]();
    expect(sites).toBeGreaterThan(3);
    let tried = 0;
    for (let at = OFFSET % SHARE; at < sites; at += SHARE) {
      // Half of the agents go on, the others die right after the fault.
      const dies = Math.floor(at / SHARE) % 2 === 1;
      await tryOne(operation, at, mode, dies);
      tried += 1;
    }
    found.push(`${operation.name}, ${mode.code}: ${tried} of ${sites} call sites`);
  });
});

async function tryOne(
  operation: Operation,
  at: number,
  mode: (typeof MODES)[number],
  dies: boolean,
): Promise<void> {
  const given = await scene(operation.before);
  const { model, id, snapshot } = given;
  const before = model.machines.find(model.host.list()[0]?.vmPid);
  const { hit, succeeded } = await runWithFault(given, operation, at, mode);
  try {
    if (dies || operation.name.startsWith('take over')) await model.reopen();
    // A removal that could not free everything is asked for again.
    if (operation.removes === true && !succeeded && isThere(model, id, 'stopping'))
      await model.host.destroy(id);
    const state = await settled(model, id);
    if (operation.removes === true && state === undefined) {
      expect(before?.isAlive).toBe(false);
    } else {
      expect(state === 'running' || state === 'paused').toBe(true);
      // A VM that was healthy lives, unless what was asked for has ended it.
      if (!succeeded && operation.before === 'running' && operation.losesVm !== true && state === 'running')
        expect(before?.isAlive).toBe(true);
      const content = await model.content(id);
      const expected = words('one', 'two');
      expect(operation.losesVm === true ? content.disk : content).toEqual(
        operation.losesVm === true ? expected.disk : expected,
      );
      // It goes on as any other: what a fault has left shows in the next generations.
      model.remember(id, 'three');
      await model.snapshot(id);
      model.remember(id, 'four');
      await model.pause(id);
      expect((await model.content(id)).disk).toEqual(words('one', 'two', 'three', 'four').disk);
    }
    const spawned = await model.spawn(snapshot);
    expect(await model.content(spawned)).toEqual(words('one'));
    for (const { id: each } of model.host.list()) await model.host.destroy(each);
    for (const { id: each } of model.host.listSnapshots()) await model.host.deleteSnapshot(each);
    await model.reopen();
    await model.host.collect(-1);
    expect(await model.remains()).toEqual(NO_REMAINS);
  } catch (error) {
    const how = `${operation.name}, call ${at} (${hit}) with ${mode.code}${dies ? ', then the agent died' : ''}`;
    throw new Error(
      `${how}: ${error instanceof Error ? error.message : String(error)}\n${model.warnings.join('\n')}`,
      { cause: error },
    );
  } finally {
    await model[Symbol.asyncDispose]();
  }
}

function isThere({ host }: ModelHost, id: string, state: HostState): boolean {
  return host.list().some((sandbox) => sandbox.id === id && sandbox.journal.state === state);
}
