import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newSandboxId, type SandboxRequest } from '../config/sandbox-spec.js';
import type { Step } from '../environment.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';
import { Witness } from '../testing/witness.js';
import { beginTestimony, contradictions, type Testimony } from '../testing/witnessed-sandbox.js';

/*
 * hazard 7: the processes that a sandbox depends on, QEMU and the page server, are killed in the middle of what is done
 * to it. The caller gets an answer, and the sandbox is as it was, or says that its VM has ended and boots from its disk:
 * never a guest with other memory than it had.
 */

const REQUEST: SandboxRequest = { template: 'base', envs: {}, internet: false };
const PATIENCE_MS = 90_000;
const PAUSE_MS = 20;
const NEVER_PAST = Number.MAX_SAFE_INTEGER;

let vm: VmHost;
let snapshotId: string;
let testimony: Testimony;
let id: string;
let atStep: (step: Step) => Promise<void> = async () => {};

beforeAll(async () => {
  vm = await vmHost({ memoryMb: 128, onStep: (step) => atStep(step) });
  await vm.host.freezeTemplate('base');
  id = newSandboxId();
  testimony = await beginTestimony(await vm.host.create(id, 1, REQUEST));
  snapshotId = newSandboxId().replace('sb', 'sn');
  await vm.host.createSnapshot(snapshotId, id, 'full');
});

/** A sandbox that a failed test has left stopped is no reason for the others to fail. */
beforeEach(async () => {
  atStep = async () => {};
  if (vm.host.list().some((sandbox) => sandbox.id === id && sandbox.journal.state !== 'stopped')) return;
  await vm.host.destroy(id);
  id = newSandboxId();
  await vm.host.create(id, 1, { ...REQUEST, snapshotId });
});

afterAll(async () => {
  await Promise.all(vm.host.list().map((sandbox) => vm.host.destroy(sandbox.id)));
  const left = await vm.presence();
  await vm[Symbol.asyncDispose]();
  expect(left).toEqual(NOTHING);
});

type Victim = 'QEMU' | 'the page server';

/** Kills processes when a step is reached for the first time, and goes on when they are dead. */
function killAt(wanted: Step, victim: Victim): void {
  atStep = async (step) => {
    if (step !== wanted) return;
    atStep = async () => {};
    const pids =
      victim === 'the page server'
        ? await vm.pageServers()
        : (await vm.presence()).processes.map((commandLine) => Number.parseInt(commandLine, 10));
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    for (const pid of pids) while (await isAlive(pid)) await delay(PAUSE_MS);
  };
}

async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  return state !== '' && state !== 'Z' && state !== 'X';
}

/** What is wrong with the sandbox once it runs again; every answer of its guest counts. */
async function outcome(): Promise<readonly string[] | 'ended'> {
  const sandbox = vm.host.get(id);
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const { state, generation, paused } = sandbox.journal;
    if (paused?.cause === 'vm_ended') return 'ended';
    try {
      if (state === 'paused') await vm.host.resume(id, generation + 1);
      return await contradictions(sandbox, testimony);
    } catch (thrown) {
      // The link is lost with its VM; who answers next is the one that was restored again.
      if (!(thrown instanceof DormouseError) || performance.now() > deadline) throw thrown;
    }
    await delay(PAUSE_MS);
  }
}

/** The sandbox is as it was; or it says, where it may, that its memory is lost, has its disk, and another takes its place. */
async function expectUnharmed(mayEnd: boolean): Promise<void> {
  const found = await outcome();
  if (found !== 'ended') {
    expect(found).toEqual([]);
    await vm.host.get(id).loaded();
    expect((await vm.presence()).processes).toHaveLength(1);
    return;
  }
  const { reason, generation } = vm.host.get(id).journal;
  expect([mayEnd, reason]).toEqual([true, expect.stringContaining('its VM ended')]);
  expect(await vm.presence()).toEqual({ ...NOTHING, sandboxes: [id] });
  const { journal } = await vm.host.resume(id, generation + 1);
  expect(journal).toMatchObject({ resumedBy: 'reboot', reason: `its memory was lost: ${reason}` });
  const { disk } = await new Witness(vm.host.get(id)).files();
  expect(disk).toEqual(testimony.files.disk);
  await vm.host.destroy(id);
  expect(await vm.presence()).toEqual(NOTHING);
  id = newSandboxId();
  await vm.host.create(id, 1, { ...REQUEST, snapshotId });
}

/** The code of the answer, whatever it is; undefined when all went well. */
async function answer(operation: Promise<unknown>): Promise<string | undefined> {
  return await operation.then(
    () => undefined,
    (error: unknown) => fromUnknown(error).code,
  );
}

describe.each<Victim>(['QEMU', 'the page server'])('hazard 7: when %s is killed', (victim) => {
  test.each<Step>(['freeze-begun', 'held', 'frozen', 'captured', 'committed', 'recorded'])(
    'in the middle of a pause, at %s, it is undone, done, or the VM has ended',
    async (step) => {
      killAt(step, victim);
      const code = await answer(vm.host.pause(id, NEVER_PAST, 'full'));
      expect(['pause_failed', 'guest_unreachable', 'timeout', undefined]).toContain(code);
      const isBeforeCommit = ['freeze-begun', 'held', 'frozen', 'captured'].includes(step);
      await expectUnharmed(victim === 'QEMU' && isBeforeCommit);
    },
  );

  test.each<Step>(['held', 'frozen', 'layer-pushed', 'captured', 'committed'])(
    'in the middle of a snapshot, at %s, the sandbox goes on or its VM has ended',
    async (step) => {
      killAt(step, victim);
      const other = newSandboxId().replace('sb', 'sn');
      const code = await answer(vm.host.createSnapshot(other, id, 'full'));
      expect(['pause_failed', 'guest_unreachable', 'timeout', undefined]).toContain(code);
      await expectUnharmed(victim === 'QEMU');
      await vm.host.deleteSnapshot(other);
    },
  );

  test.each<Step>(['resume-begun', 'standby-ready', 'listening', 'running', 'awake', 'resumed'])(
    'in the middle of a resume, at %s, the sandbox is resumed, at once or again',
    async (step) => {
      await vm.host.pause(id, NEVER_PAST, 'full');
      killAt(step, victim);
      const { generation } = vm.host.get(id).journal;
      const code = await answer(vm.host.resume(id, generation + 1));
      expect(['restore_failed', 'guest_unreachable', undefined]).toContain(code);
      await expectUnharmed(victim === 'QEMU' && step === 'resumed');
    },
  );
});
