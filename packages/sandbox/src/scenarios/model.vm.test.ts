import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type FaultyReal,
  faultyCheckpoint,
  faultyDelete,
  faultyFork,
  faultyPause,
  faultyResume,
  losePageServer,
  loseVm,
  restartAgent,
} from '../testing/faulty-operations.js';
import {
  checkDeeply,
  create,
  fork,
  type Model,
  type ModelSandbox,
  pause,
  resume,
  snapshot,
  spawn,
  write,
  zero,
} from '../testing/sandbox-model.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';

/** `npm run soak` does 10,000. */
const OPERATIONS = Number(process.env.DORMOUSE_OPERATIONS ?? 200);
const SEED = process.env.DORMOUSE_SEED === undefined ? undefined : Number(process.env.DORMOUSE_SEED);
/** Small guests: what is proven does not depend on their size, and the time it takes does. */
const MEMORY_MB = 128;
const MAX_SANDBOXES = 4;
const MAX_SNAPSHOTS = 4;
/** A generous safety net: an operation takes half a second on a quiet machine under emulation. */
const PATIENCE_MS = 120_000 + OPERATIONS * 10_000;

let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost({ memoryMb: MEMORY_MB, standbys: 1, chains: { maxLayers: 4, maxSources: 4 } });
  await vm.host.freezeTemplate('base');
});
afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

type Command = fc.AsyncCommand<Model, FaultyReal>;

/** An operation on something the model has, chosen by a number. */
function command<Subject>(
  name: string,
  subjects: (model: Model) => readonly Subject[],
  run: (model: Model, real: FaultyReal, subject: Subject, seed: number) => Promise<void>,
): fc.Arbitrary<Command> {
  return fc.nat().map((seed) => ({
    check: (model) => subjects(model).length > 0,
    run: async (model, real) => {
      const all = subjects(model);
      real.done.set(name, (real.done.get(name) ?? 0) + 1);
      await run(model, real, all[seed % all.length]!, seed);
    },
    toString: () => `${name}(${seed})`,
  }));
}

const inState =
  (state: ModelSandbox['state']) =>
  ({ sandboxes }: Model): readonly ModelSandbox[] =>
    sandboxes.filter((sandbox) => sandbox.state === state);
const running = inState('running');
const paused = inState('paused');
/** One that may have children, as long as there is room. */
const parents = ({ sandboxes }: Model): readonly ModelSandbox[] =>
  sandboxes.length < MAX_SANDBOXES ? sandboxes : [];

const COMMANDS = [
  command('create', ({ sandboxes }) => (sandboxes.length < 2 ? ['base'] : []), create),
  command('write', running, write),
  command('zero', running, (_model, real, one, seed) => zero(real, one, seed)),
  command('pause', running, (_model, real, one) => pause(real, one)),
  command('resume', paused, (_model, real, one) => resume(real, one)),
  command('check', running, (_model, real, one) => checkDeeply(real, one)),
  command('fork', parents, fork),
  command(
    'checkpoint',
    ({ sandboxes, snapshots }) => (snapshots.length < MAX_SNAPSHOTS ? sandboxes : []),
    snapshot,
  ),
  command('spawn', ({ sandboxes, snapshots }) => (sandboxes.length < MAX_SANDBOXES ? snapshots : []), spawn),
  command(
    'delete',
    ({ sandboxes }) => (sandboxes.length > 1 ? sandboxes : []),
    async (model, { host }, one) => {
      await host.destroy(one.id);
      model.sandboxes.splice(model.sandboxes.indexOf(one), 1);
    },
  ),
  command(
    'delete snapshot',
    ({ snapshots }) => snapshots,
    async (model, { host }, one) => {
      await host.deleteSnapshot(one.id);
      model.snapshots.splice(model.snapshots.indexOf(one), 1);
    },
  ),
  command(
    'collect',
    ({ sandboxes }) => sandboxes.slice(0, 1),
    (_model, { host }) => host.collect(0),
  ),
];

/** What fails, and what a host agent and its machine do to sandboxes. Each is rarer than what works. */
const FAULTS = [
  command('faulty pause', running, (_model, real, one, seed) => faultyPause(real, one, seed)),
  command('faulty resume', paused, (_model, real, one, seed) => faultyResume(real, one, seed)),
  command(
    'faulty checkpoint',
    ({ sandboxes, snapshots }) =>
      snapshots.length < MAX_SNAPSHOTS ? sandboxes.filter(({ state }) => state === 'running') : [],
    faultyCheckpoint,
  ),
  command('faulty fork', (model) => parents(model).filter(({ state }) => state === 'running'), faultyFork),
  command('faulty delete', ({ sandboxes }) => (sandboxes.length > 1 ? sandboxes : []), faultyDelete),
  command(
    'restart',
    ({ sandboxes }) => sandboxes.slice(0, 1),
    (model, real) => restartAgent(model, real),
  ),
  command('lose the VM', running, (_model, real, one) => loseVm(real, one)),
  command('lose the page server', paused, (_model, real, one) => losePageServer(real, one)),
];

test(`hazards 1 to 5, 16 and 19: after ${OPERATIONS} random operations every sandbox has what it must have`, {
  timeout: PATIENCE_MS,
}, async () => {
  const done = new Map<string, number>();
  const model: Model = { sandboxes: [], snapshots: [], made: 0 };
  const real: FaultyReal = {
    get host() {
      return vm.host;
    },
    done,
    dataDir: vm.config.dataDir,
    reopen: async () => {
      await vm.host.release();
      await vm.reopen();
    },
    forgetWarnings: () => vm.warnings.splice(0),
  };
  const weighted = [
    ...COMMANDS.map((arbitrary) => ({ arbitrary, weight: 2 })),
    ...FAULTS.map((arbitrary) => ({ arbitrary, weight: 1 })),
  ];
  const commands = fc.array(fc.oneof(...weighted), { minLength: OPERATIONS * 4, maxLength: OPERATIONS * 4 });
  const [sequence] = fc.sample(commands, { numRuns: 1, ...(SEED === undefined ? {} : { seed: SEED }) });
  const history: string[] = [];
  await create(model, real);
  for (const next of sequence!) {
    if (history.length === OPERATIONS) break;
    if (!next.check(model)) continue;
    history.push(String(next));
    try {
      await next.run(model, real);
    } catch (error) {
      const told = [...history.slice(-20), ...vm.warnings.slice(-10)].join('\n');
      throw new Error(`after ${history.length} operations, at ${next}:\n${told}`, { cause: error });
    }
  }
  for (const one of model.sandboxes) {
    if (one.state === 'paused') await resume(real, one);
    await checkDeeply(real, one);
  }
  process.stdout.write(
    `${history.length} operations: ${[...done].map(([k, n]) => `${n} ${k}`).join(', ')}\n`,
  );
  const { host } = vm;
  for (const { id } of model.snapshots) await host.deleteSnapshot(id);
  for (const { id } of model.sandboxes) await host.destroy(id);
  await host.settled();
  await host.collect(0);
  const { layers, unfinished, sandboxes } = await vm.remains();
  expect({ layers, unfinished, sandboxes }).toEqual({
    layers: [],
    unfinished: [],
    sandboxes: NOTHING.sandboxes,
  });
  expect(vm.warnings).toEqual([]);
});
