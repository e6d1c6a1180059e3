import { fromUnknown } from '@dormouse/errors';
import { QemuDriver } from '@dormouse/vmm';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newSandboxId } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';

const REQUEST = { template: 'base', envs: {}, internet: false } as const;
const OPERATIONS = 50;
/** What an operation may honestly answer when another one was faster. */
const HONEST = ['invalid_state', 'guest_unreachable', 'cancelled', 'not_found', 'no_capacity'];

/** Counts the VM processes that were started to be restored. */
class CountingDriver extends QemuDriver {
  starts = 0;

  override standBy(...args: Parameters<QemuDriver['standBy']>): ReturnType<QemuDriver['standBy']> {
    this.starts += 1;
    return super.standBy(...args);
  }
}

const driver = new CountingDriver();
let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost({ driver });
  await vm.host.freezeTemplate('base');
});
afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

test('hazard 8: ten pauses at once are one pause, ten resumes at once are one resume', async () => {
  const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
  await Promise.all(Array.from({ length: 10 }, () => vm.host.pause(sandbox.id, 1, 'full')));
  const { generationId } = sandbox.journal.paused!;
  expect((await vm.host.pause(sandbox.id, 1, 'full')).journal.paused?.generationId).toBe(generationId);
  const { starts } = driver;
  await Promise.all(Array.from({ length: 10 }, () => vm.host.resume(sandbox.id, 2)));
  expect(driver.starts - starts).toBe(1);
  expect(sandbox.journal).toMatchObject({ state: 'running', generation: 2, memoryBase: generationId });
  await vm.host.destroy(sandbox.id);
});

test(`hazard 8: ${OPERATIONS} random operations at once leave one sandbox that is whole`, async () => {
  const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
  const write = 'echo whole > /home/user/file; echo whole > /dev/shm/note';
  expect((await runInGuest(await sandbox.guest(), write)).exitCode).toBe(0);
  const [kinds] = fc.sample(
    fc.array(fc.constantFrom('pause', 'resume', 'exec', 'fork', 'snapshot'), {
      minLength: OPERATIONS,
      maxLength: OPERATIONS,
    }),
    { numRuns: 1, ...(process.env.FC_SEED === undefined ? {} : { seed: Number(process.env.FC_SEED) }) },
  );
  let forks = 0;
  const generation = () => sandbox.journal.generation;
  const operations: Record<string, () => Promise<unknown>> = {
    pause: () => vm.host.pause(sandbox.id, generation(), 'full'),
    resume: () => vm.host.resume(sandbox.id, generation() + 1),
    exec: async () => runInGuest(await sandbox.guest(), 'cat /home/user/file'),
    // A few are enough: each is a VM.
    fork: async () =>
      forks++ < 3 ? vm.host.fork(sandbox.id, [{ id: newSandboxId(), generation: 1 }]) : undefined,
    snapshot: () => vm.host.createSnapshot(`sn${newSandboxId().slice(2)}`, sandbox.id, 'full'),
  };
  const outcomes = await Promise.all(
    kinds!.map((kind) =>
      operations[kind]!().then(
        () => undefined,
        (error: unknown) => `${kind}: ${fromUnknown(error).code} ${fromUnknown(error).message}`,
      ),
    ),
  );
  const dishonest = outcomes.filter(
    (outcome) => outcome !== undefined && !HONEST.some((code) => outcome.includes(`: ${code} `)),
  );
  expect(dishonest).toEqual([]);
  await vm.host.resume(sandbox.id, generation() + 1);
  const children = vm.host.list().filter(({ id }) => id !== sandbox.id);
  for (const one of [sandbox, ...children]) {
    const { stdout } = await runInGuest(await one.guest(), 'cat /home/user/file /dev/shm/note');
    expect(stdout).toBe('whole\nwhole\n');
  }
  for (const { id } of vm.host.listSnapshots()) await vm.host.deleteSnapshot(id);
  await Promise.all(vm.host.list().map(({ id }) => vm.host.destroy(id)));
  const { processes, sandboxes, memory } = await vm.presence();
  expect({ processes, sandboxes, memory }).toEqual(NOTHING);
});
