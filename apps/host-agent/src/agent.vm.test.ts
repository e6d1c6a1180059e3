import { randomInt } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fromConnectError, PauseCause, ResumedBy, SandboxState } from '@dormouse/host-api';
import { canChangeUser } from '@dormouse/sandbox';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type AgentHost, agentHost, NOTHING, runAgent } from './testing/agent-process.js';
import { ExecCall } from './testing/exec-call.js';

/** How many times the agent is killed at a random moment. */
const ROUNDS = 6;
/** Within this a create or destroy has usually ended. */
const LONGEST_LIFE_MS = 5_000;

let agent: AgentHost;

beforeAll(async () => {
  agent = await agentHost();
});

afterEach(async () => {
  const left = await agent.presence();
  const { sandboxes } = await agent.client.listSandboxes({});
  await Promise.all(sandboxes.map(({ id }) => agent.client.destroySandbox({ id })));
  expect(left).toEqual(NOTHING);
});

afterAll(async () => {
  const { guardRules } = agent;
  await agent[Symbol.asyncDispose]();
  expect(guardRules.call(agent)).toBeUndefined();
});

function newId(): string {
  return `sb${Array.from({ length: 20 }, () => 'abcdefghijklmnopqrstuvwxyz0123456789'[randomInt(36)]).join('')}`;
}

async function createSandbox(id: string): Promise<void> {
  await agent.client.createSandbox({ id, generation: 1n, spec: { template: 'base' } });
}

async function shell(sandboxId: string, script: string): Promise<string> {
  const call = await ExecCall.start(agent.client, { sandboxId, argv: ['sh', '-c', script] });
  return (await call.outcome()).stdout.toString('utf8');
}

describe('hazard 9: an agent that is killed', () => {
  test('finds its sandboxes again, with their processes, and what those have written meanwhile', async () => {
    const id = newId();
    await createSandbox(id);
    const script = 'echo $$; n=0; while read line; do n=$((n+1)); echo "$n $line"; done < /tmp/pipe';
    await shell(id, 'mkfifo /tmp/pipe /tmp/go');
    const before = await ExecCall.start(agent.client, {
      sandboxId: id,
      argv: ['bash', '-c', script],
      tag: 'worker',
    });
    await ExecCall.start(agent.client, {
      sandboxId: id,
      argv: ['bash', '-c', 'exec 3> /tmp/pipe; echo first >&3; read go < /tmp/go; echo second >&3'],
    });
    expect(await before.readUntil('1 first\n')).toBe(`${before.pid}\n1 first\n`);
    const { processes } = await agent.presence();
    expect(processes).toHaveLength(1);

    expect(await agent.end('SIGKILL')).toMatchObject({ code: null, signal: 'SIGKILL' });
    expect((await agent.presence()).processes).toEqual(processes);
    await agent.start();

    const { sandbox } = await agent.client.getSandbox({ id });
    expect(sandbox).toMatchObject({ id, generation: 1n, state: SandboxState.RUNNING, reason: '' });
    expect((await agent.presence()).processes).toEqual(processes);
    const listed = await agent.client.listProcesses({ sandboxId: id });
    expect(listed.processes).toContainEqual(
      expect.objectContaining({
        pid: before.pid,
        running: true,
        tag: 'worker',
        argv: ['bash', '-c', script],
      }),
    );
    await shell(id, 'echo now > /tmp/go');
    const after = await ExecCall.attach(agent.client, id, before.pid);
    expect(await after.outcome()).toEqual({
      exitCode: 0,
      signal: 0,
      stdout: Buffer.from(`${before.pid}\n1 first\n2 second\n`),
      stderr: Buffer.alloc(0),
      terminal: Buffer.alloc(0),
    });
    await agent.client.destroySandbox({ id });
  });

  test('notices at its return that a VM has ended', async () => {
    const id = newId();
    await createSandbox(id);
    const [qemu] = (await agent.presence()).processes;
    await agent.end('SIGKILL');
    process.kill(qemu!, 'SIGKILL');
    await agent.start();
    const { sandbox } = await agent.client.getSandbox({ id });
    expect(sandbox).toMatchObject({
      state: SandboxState.PAUSED,
      reason: 'its VM ended while the host agent was away',
      pauseCause: PauseCause.VM_ENDED,
      diskOnly: true,
    });
    expect(await agent.presence()).toEqual({ processes: [], sandboxes: [id], memory: [] });
    await agent.client.destroySandbox({ id });
  });

  test(`at ${ROUNDS} random moments of creating and destroying leaves nothing half made and goes on working`, async () => {
    let present: string | undefined;
    for (let round = 0; round < ROUNDS; round++) {
      const lifeMs = randomInt(LONGEST_LIFE_MS);
      const creating = present === undefined;
      const id = present ?? newId();
      const context = `round ${round}: ${creating ? 'create' : 'destroy'}, killed after ${lifeMs} ms`;
      const call = creating ? createSandbox(id) : agent.client.destroySandbox({ id });
      call.catch(() => {});
      await delay(lifeMs);
      await agent.end('SIGKILL');
      await agent.start();

      const { sandboxes } = await agent.client.listSandboxes({});
      const left = await agent.presence();
      expect(left.sandboxes, context).toEqual(sandboxes.map((sandbox) => sandbox.id));
      if (sandboxes.length === 0) {
        expect(left, context).toEqual(NOTHING);
        present = undefined;
        continue;
      }
      expect([sandboxes.length, sandboxes[0]!.id, sandboxes[0]!.state], context).toEqual([
        1,
        id,
        SandboxState.RUNNING,
      ]);
      expect([left.processes.length, left.memory.length], context).toEqual([1, 1]);
      expect(await shell(id, 'hostname'), context).toBe(`${id}\n`);
      present = id;
    }
    const id = present ?? newId();
    await createSandbox(id);
    expect(await shell(id, 'hostname')).toBe(`${id}\n`);
    await agent.client.destroySandbox({ id });
  });
});

describe('an agent that is asked to go', () => {
  test('by SIGHUP hands its sandboxes over to the next one', async () => {
    const id = newId();
    await createSandbox(id);
    const { processes } = await agent.presence();
    expect(await agent.end('SIGHUP')).toMatchObject({ code: 0, signal: null });
    expect((await agent.presence()).processes).toEqual(processes);
    if (canChangeUser()) expect(agent.guardRules()).toBeDefined();
    await agent.start();
    expect(await shell(id, 'hostname')).toBe(`${id}\n`);
    await agent.client.destroySandbox({ id });
  });

  test('by SIGTERM pauses its sandboxes, takes its rules away, and they are back with the next one', async () => {
    const id = newId();
    await createSandbox(id);
    expect(await shell(id, '(sleep 1000 > /dev/null 2>&1 & echo $! > /tmp/pid)')).toBe('');
    const exit = await agent.end('SIGTERM');
    expect(exit).toMatchObject({ code: 0, signal: null });
    expect(exit.log).toContain('1 running sandboxes were paused, 0 shut down');
    expect(await agent.presence()).toEqual({ processes: [], sandboxes: [id], memory: [] });
    expect(agent.guardRules()).toBeUndefined();
    await agent.start();
    await expect
      .poll(async () => (await agent.client.getSandbox({ id })).sandbox?.state, { timeout: 60_000 })
      .toBe(SandboxState.RUNNING);
    const { sandbox } = await agent.client.getSandbox({ id });
    expect(sandbox).toMatchObject({ generation: 2n, resumedBy: ResumedBy.MEMORY, reason: '' });
    expect(await shell(id, 'kill -0 $(cat /tmp/pid) && echo alive')).toBe('alive\n');
    await agent.client.destroySandbox({ id });
  });
});

describe('the service', () => {
  test('is for the agent’s own user only and tells what the host is', async () => {
    expect((await stat(agent.socketPath)).mode & 0o777).toBe(0o600);
    const host = await agent.client.getHost({});
    expect(host).toMatchObject({ sandboxCount: 0, accelerator: expect.stringMatching(/^(kvm|tcg)$/) });
    expect(host.qemuVersion).toMatch(/^\d+\.\d+/);
    expect(host.kernelVersion).toMatch(/^\d+\.\d+.*-cloud-amd64$/);
    expect(host.memoryAvailableBytes).toBe(host.memoryTotalBytes * 4n);
    const { templates } = await agent.client.listTemplates({});
    expect(templates.map((template) => template.name)).toContain('base');
  });

  test.each([
    ['an id that is a path', { id: '../../etc/passwd', spec: { template: 'base' } }, 'invalid_request'],
    ['no spec', { id: 'sb00000000000000000000' }, 'not_found'],
    [
      'a template that is a path',
      { id: 'sb00000000000000000000', spec: { template: '../base' } },
      'not_found',
    ],
    [
      'absurd vcpus',
      { id: 'sb00000000000000000000', spec: { template: 'base', vcpus: 4_294_967_295 } },
      'invalid_request',
    ],
    [
      'absurd memory',
      { id: 'sb00000000000000000000', spec: { template: 'base', memoryMb: 4_294_967_295 } },
      'invalid_request',
    ],
  ] as const)('hazard 14: refuses %s', async (_name, request, code) => {
    const error: unknown = await agent.client.createSandbox(request).catch(fromConnectError);
    expect(error).toMatchObject({ code });
  });

  test('destroys what is not there', async () => {
    await agent.client.destroySandbox({ id: newId() });
  });
});

describe('an agent that cannot start', () => {
  test('for want of a kernel says what to do', async () => {
    const exit = await runAgent({
      DORMOUSE_DATA: agent.dataDir,
      DORMOUSE_ASSETS_DIR: agent.dataDir,
      DORMOUSE_HOST_SOCKET: `${agent.dataDir}/other.sock`,
    });
    expect(exit.code).toBe(5);
    expect(JSON.parse(exit.log)).toEqual({
      level: 60,
      name: 'host-agent',
      code: 'setup_failed',
      msg: `there is no guest kernel in ${agent.dataDir}`,
      suggestion: '`./dormouse up` prepares it.',
    });
  });

  test('because another one runs on its data directory says so', async () => {
    const exit = await runAgent({ DORMOUSE_DATA: agent.dataDir });
    expect(exit.code).toBe(4);
    expect(JSON.parse(exit.log)).toMatchObject({ code: 'already_running' });
  });

  test('for its configuration names the variable', async () => {
    const exit = await runAgent({ DORMOUSE_ACCELERATOR: 'magic' });
    expect(exit.code).toBe(2);
    expect(JSON.parse(exit.log)).toMatchObject({
      code: 'invalid_request',
      msg: expect.stringContaining('DORMOUSE_ACCELERATOR'),
    });
  });
});
