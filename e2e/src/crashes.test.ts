import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError, type Sandbox, type SandboxInfo } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from './support/eventually.js';
import { isAlive, processesWith } from './support/processes.js';
import { randomFrom } from './support/random.js';
import { SCALE } from './support/scale.js';
import { postmasterPid, type ServiceName, servicePid } from './support/services.js';
import { guestMemoryDirOf, type Stack, startStack } from './support/stack.js';
import { NO_TRACES, processesOf, tracesOf } from './support/traces.js';
import { loadedVmOf, vmOf } from './support/vm.js';

const KILLS = 8 * SCALE;
const WORKERS = 2;
/** Longest pause before a kill: more than a sandbox lives, so that every moment of a life may be hit. */
const MAX_PAUSE_MS = 8_000;
/** Restarts back off to 5 s, the reconciler looks every 5 s, and PostgreSQL replays its log. */
const RECOVERY_MS = 120_000;
/** What a caller may be told while a server is being killed. Anything else would be a lie or our own mistake. */
const HONEST_CODES = [
  'unavailable',
  'guest_unreachable',
  'invalid_state',
  'not_found',
  'boot_failed',
  'cancelled',
];

const seed = Number(process.env.DORMOUSE_E2E_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** A process that counts, and writes the count down. */
const COUNTER = 'for ((i = 0; ; i++)); do echo $i > count.new; mv count.new count; sleep 0.2; done';

/** As it is by default: a VM process and a restored sandbox wait for somebody to want one. */
const WAITING = { DORMOUSE_STANDBYS: '1', DORMOUSE_READY_SANDBOXES: '1' } as const;

let stack: Stack;
/** Lives through everything, with a process that must never stop. */
let keeper: Sandbox;
let counterPid: number;

beforeAll(async () => {
  stack = await startStack();
  keeper = (await stack.client.sandboxes.create({ metadata: { role: 'keeper' } })).keep();
  const counter = await keeper.spawn(COUNTER, { stdin: false, detach: true });
  counterPid = counter.pid;
  counter.close();
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

/** Sandboxes as the API lists them. */
async function listed(): Promise<SandboxInfo[]> {
  const all: SandboxInfo[] = [];
  for await (const info of stack.client.sandboxes.list()) all.push(info);
  return all;
}

/** Asks until an answer comes: for questions that may be repeated, while servers come back. */
function answerOf<T>(what: string, ask: () => Promise<T>): Promise<T> {
  return eventually(what, RECOVERY_MS, async () => ({ value: await ask() })).then(({ value }) => value);
}

/** The keeper runs, and its process has not been interrupted. */
async function expectKeeperUnharmed(): Promise<void> {
  const sandbox = await answerOf('the keeper', () => stack.client.sandboxes.connect(keeper.id));
  expect(sandbox.info).toMatchObject({ state: 'running', reason: null });
  const count = async () => Number((await answerOf('the count', () => sandbox.exec('cat count'))).stdout);
  const first = await count();
  await eventually('the process counts on', RECOVERY_MS, async () => (await count()) > first);
  const processes = [];
  for await (const process of sandbox.processes.list()) processes.push(process);
  expect(processes.find(({ pid }) => pid === counterPid)).toMatchObject({ running: true, exitCode: null });
}

/** Kills a service and waits until `up` has started it again. */
async function killService(name: ServiceName): Promise<void> {
  const pid = await eventually(`${name} runs`, RECOVERY_MS, () => servicePid(stack, name));
  process.kill(pid, 'SIGKILL');
  await eventually(`${name} is another process`, RECOVERY_MS, async () => {
    const next = await servicePid(stack, name);
    return next !== undefined && next !== pid;
  });
}

/** A whole life; `alive` remembers what was told to run and not told to end. */
async function live(alive: Map<string, number>, complaints: DormouseError[]): Promise<void> {
  let sandbox: Sandbox | undefined;
  try {
    sandbox = await stack.client.sandboxes.create({ metadata: { role: 'worker' } });
    const sleeper = await sandbox.spawn({ cmd: 'sleep', args: ['3600'] }, { stdin: false, detach: true });
    alive.set(sandbox.id, sleeper.pid);
    sleeper.close();
    await sandbox.files.write('note', sandbox.id);
    expect((await sandbox.exec('cat note')).stdout).toBe(sandbox.id);
    alive.delete(sandbox.id);
    await sandbox.delete();
  } catch (thrown) {
    if (!(thrown instanceof DormouseError)) throw thrown;
    complaints.push(thrown);
  }
}

test(`hazard 9: ${KILLS} times host agent or control plane is killed, and no sandbox is lost (seed ${seed})`, async () => {
  console.info(`seed ${seed}: DORMOUSE_E2E_SEED=${seed} repeats the choice of victims and moments`);
  const random = randomFrom(seed);
  const alive = new Map<string, number>();
  const complaints: DormouseError[] = [];
  let killing = true;
  let lives = 0;
  const whole = (): number => lives - complaints.length;
  const work = async (): Promise<void> => {
    while (killing) {
      await answerOf('the API', () => stack.client.health());
      await live(alive, complaints);
      lives += 1;
    }
  };
  const workers = Array.from({ length: WORKERS }, work);
  for (let kill = 0; kill < KILLS || whole() === 0; kill++) {
    await delay(random() * MAX_PAUSE_MS);
    await killService(random() < 0.5 ? 'host-agent' : 'control-plane');
  }
  killing = false;
  await Promise.all(workers);
  console.info(`${lives} lives, ${complaints.length} of them interrupted`);
  expect(
    complaints
      .map(({ code, message }) => `${code}: ${message}`)
      .filter((text) => !HONEST_CODES.includes(text.split(':')[0]!)),
  ).toEqual([]);

  // Every sandbox is what the API says it is, on this machine too.
  const settled = await eventually('nothing is under way any more', RECOVERY_MS, async () => {
    const sandboxes = await listed();
    const isSettled = sandboxes.every(({ state }) => ['running', 'stopped', 'error'].includes(state));
    const running = idsIn(sandboxes, 'running');
    const { guestMemory, sandboxes: directories } = await tracesOf(stack.dataDir);
    const vms = await vmsOf(running);
    const present = idsIn(sandboxes, 'running', 'stopped');
    return (
      isSettled &&
      same(guestMemory, await slotsOf(running)) &&
      same(
        directories.filter((name) => !present.includes(name) || !name.startsWith('sb')),
        [],
      ) &&
      running.every((id) => directories.includes(id)) &&
      vms === running.length &&
      (await processesWith('qemu-system', `${stack.dataDir}/`)).length === vms &&
      sandboxes
    );
  });
  for (const { id, state, reason } of settled) {
    if (state !== 'running') {
      expect(reason, `${id} is ${state}`).not.toBeNull();
      continue;
    }
    const sandbox = await stack.client.sandboxes.connect(id);
    expect((await sandbox.exec('echo here')).stdout).toBe('here\n');
    const pid = alive.get(id);
    if (pid !== undefined) expect((await sandbox.exec(`cat /proc/${pid}/comm`)).stdout).toBe('sleep\n');
  }
  // Whoever was told that it runs, and did not ask for its end, still has it.
  for (const id of alive.keys()) expect(idsIn(settled, 'running')).toContain(id);
  await expectKeeperUnharmed();

  // And all of it can be removed, as if nothing had been.
  for (const { id } of settled) if (id !== keeper.id) await stack.client.sandboxes.delete(id);
  expect(idsIn(await listed(), 'running')).toEqual([keeper.id]);
  expect(await listed()).toHaveLength(1);
  expect(await tracesOf(stack.dataDir)).toMatchObject({
    guestMemory: await slotsOf([keeper.id]),
    sandboxes: [keeper.id],
    mounts: [],
    temporary: [],
  });
  await using fresh = await stack.client.sandboxes.create();
  expect((await fresh.exec('echo fresh')).stdout).toBe('fresh\n');
});

test('hazard 9: a killed PostgreSQL comes back with everything that was recorded', async () => {
  const pid = await postmasterPid(stack);
  process.kill(pid!, 'SIGKILL');
  await eventually('another server runs', RECOVERY_MS, async () => {
    const next = await postmasterPid(stack);
    return next !== undefined && next !== pid;
  });
  expect((await answerOf('the list', listed)).map(({ id }) => id)).toEqual([keeper.id]);
  await expectKeeperUnharmed();
  await using fresh = await answerOf('a new sandbox', () => stack.client.sandboxes.create());
  expect((await fresh.exec('echo fresh')).stdout).toBe('fresh\n');
});

test('hazard 9: when `up` itself is killed, the next one takes the running sandboxes over', async () => {
  const { dataDir, apiKey, pid } = stack;
  const vm = await vmOf(dataDir, keeper.id);
  expect(await stack.stop('SIGKILL')).toBeNull();
  expect(await isAlive(pid)).toBe(false);
  stack = await startStack({ dataDir, env: WAITING });
  expect(stack.apiKey).toBe(apiKey);
  expect(await vmOf(dataDir, keeper.id)).toEqual(vm);
  expect(await processesWith('qemu-system', `${dataDir}/vms/${vm?.slot}/`)).toEqual([vm?.pid]);
  await expectKeeperUnharmed();
  expect((await listed()).map(({ id }) => id)).toEqual([keeper.id]);
});

test('asked to stop, `up` says how many sandboxes run and pauses them; the next one brings them back', async () => {
  const second = (await stack.client.sandboxes.create()).keep();
  await second.exec('echo written without a sync > /home/user/last-words');
  expect(await stack.stop('SIGTERM')).toBe(0);
  expect(stack.log()).toContain('2 running sandboxes are being paused; they come back with the next `up`.');
  expect(stack.log()).toMatch(/Everything is stopped\.\n$/);
  const { dataDir } = stack;
  const kept = [keeper.id, second.id].sort();
  expect(await tracesOf(dataDir)).toEqual({ ...NO_TRACES, sandboxes: kept });

  stack = await startStack({ dataDir });
  await eventually('both run again', RECOVERY_MS, async () => {
    const all = await listed();
    return all.length === 2 && all.every(({ state }) => state === 'running');
  });
  await expectKeeperUnharmed();
  const again = await stack.client.sandboxes.connect(second.id);
  expect((await again.exec('cat /home/user/last-words')).stdout).toBe('written without a sync\n');
  for (const id of kept) await stack.client.sandboxes.delete(id);
  expect(await stack.stop()).toBe(0);
  expect(await tracesOf(dataDir)).toEqual(NO_TRACES);
});

test('hazards 4 and 9: when everything is gone at once, as by a power cut, what slept wakes and what ran boots with its files', async () => {
  stack = await startStack();
  const { dataDir } = stack;
  const awake = (await stack.client.sandboxes.create()).keep();
  const asleep = (await stack.client.sandboxes.create()).keep();
  const remember = 'echo kept > /home/user/file; sync; echo remembered > /dev/shm/note';
  for (const sandbox of [awake, asleep]) await sandbox.exec(remember);
  await asleep.pause();
  await eventually('all its memory is there', RECOVERY_MS, () => loadedVmOf(dataDir, awake.id));
  await cutPower(dataDir);

  stack = await startStack({ dataDir });
  await eventually('both are paused', RECOVERY_MS, async () => {
    const all = await listed();
    return all.length === 2 && all.every(({ state }) => state === 'paused');
  });
  const recall = 'cat /home/user/file; cat /dev/shm/note 2> /dev/null || echo forgotten';
  for (const [{ id }, resumedBy, said] of [
    [awake, 'reboot', 'kept\nforgotten\n'],
    [asleep, 'memory', 'kept\nremembered\n'],
  ] as const) {
    const sandbox = await stack.client.sandboxes.connect(id);
    expect(await sandbox.resume()).toMatchObject({ resumedBy });
    expect((await sandbox.exec(recall)).stdout).toBe(said);
    await sandbox.delete();
  }
  expect(await stack.stop()).toBe(0);
  expect(await tracesOf(dataDir)).toEqual(NO_TRACES);
});

/** No process of an installation is left, and nothing of what was in memory. */
async function cutPower(dataDir: string): Promise<void> {
  await eventually('all are gone', RECOVERY_MS, async () => {
    const processes = await processesOf(dataDir);
    for (const { pid } of processes) process.kill(pid, 'SIGKILL');
    return processes.length === 0;
  });
  await rm(guestMemoryDirOf(dataDir), { recursive: true });
}

function idsIn(sandboxes: readonly SandboxInfo[], ...states: readonly string[]): string[] {
  return sandboxes
    .filter(({ state }) => states.includes(state))
    .map(({ id }) => id)
    .sort();
}

function same(left: readonly string[], right: readonly string[]): boolean {
  return left.join() === right.join();
}

/** How many of these sandboxes have exactly one VM. */
async function vmsOf(ids: readonly string[]): Promise<number> {
  const slots = await slotsOf(ids);
  const found = await Promise.all(slots.map((slot) => processesWith('qemu-system', `/vms/${slot}/run/`)));
  return found.filter((pids) => pids.length === 1).length;
}

/** The places of the VMs of these sandboxes, sorted. */
async function slotsOf(ids: readonly string[]): Promise<string[]> {
  const vms = await Promise.all(ids.map((id) => vmOf(stack.dataDir, id)));
  return vms.flatMap((vm) => (vm === undefined ? [] : [vm.slot])).sort();
}
