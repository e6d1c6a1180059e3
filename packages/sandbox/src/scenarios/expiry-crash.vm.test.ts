import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_POLICY, type Policy } from '../config/policy.js';
import { newSandboxId } from '../config/sandbox-spec.js';
import { runCrash } from '../testing/run-crash.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { type VmHost, vmHost } from '../testing/vm-host.js';

let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost({ memoryMb: 128 });
  await vm.host.freezeTemplate('base');
});
afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

/** An agent dies while the time of a sandbox has passed, and another one takes over. What was told of it then. */
async function crashOnExpiry(policy: Partial<Policy>, dieAt: string | number) {
  const id = newSandboxId();
  const wanted = { ...DEFAULT_POLICY, timeoutSec: 60, ...policy };
  const sandbox = await vm.host.create(id, 1, {
    template: 'base',
    envs: {},
    internet: false,
    policy: wanted,
  });
  await runInGuest(await sandbox.guest(), 'echo remembered > /dev/shm/note');
  await vm.host.release();
  const { config, kernel } = vm;
  const end = await runCrash({ config, kernel, operation: { kind: 'expire', sandboxId: id }, dieAt });
  await vm.reopen();
  const told = vm.host.events
    .pending()
    .filter(({ sandboxId }) => sandboxId === id)
    .map(({ kind }) => kind);
  return { id, end, told };
}

describe('hazards 4, 9 and 22: an agent that is killed while it pauses what nobody uses', () => {
  test.each([
    ['freeze-begun', 'running'],
    ['held', 'running'],
    ['frozen', 'running'],
    ['captured', 'running'],
    ['committed', 'paused'],
    ['recorded', 'paused'],
    ['freed', 'paused'],
  ] as const)('at %s leaves it %s, and tells of a pause exactly if there was one', async (step, state) => {
    const { id, end, told } = await crashOnExpiry({}, step);
    expect(end.signal).toBe('SIGKILL');
    const sandbox = vm.host.get(id);
    expect(sandbox.journal.state).toBe(state);
    expect(told).toEqual(state === 'paused' ? ['auto_paused'] : []);
    if (state === 'paused') {
      expect(sandbox.journal.paused?.cause).toBe('timeout');
      await vm.host.resume(id, 2);
    }
    const { stdout } = await runInGuest(await sandbox.guest(), 'cat /dev/shm/note');
    expect(stdout).toBe('remembered\n');
    await vm.host.destroy(id);
  });
});

test('hazards 4 and 16: an agent that is killed while it removes what nobody uses leaves it, or nothing and the event', async () => {
  const seen = new Set<string>();
  for (let change = 0; ; change++) {
    const { id, end, told } = await crashOnExpiry({ onTimeout: 'kill' }, change);
    const state = vm.host.list().find((sandbox) => sandbox.id === id)?.journal.state ?? 'gone';
    expect([state, told]).toEqual(state === 'running' ? ['running', []] : ['gone', ['killed']]);
    seen.add(state);
    if (state === 'running') await vm.host.destroy(id);
    if (end.signal !== 'SIGKILL') break;
  }
  expect([...seen]).toEqual(['running', 'gone']);
});
