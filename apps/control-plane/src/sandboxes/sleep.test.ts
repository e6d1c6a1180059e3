import type { ForkResults, Sandbox } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { ResumedBy, SandboxState } from '@dormouse/host-api';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { gate } from '../testing/gate.js';

let plane: TestControlPlane;
let api: ApiClient;
beforeAll(async () => {
  plane = await startTestControlPlane();
  api = new ApiClient(plane);
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

async function paused(): Promise<string> {
  const { id } = await api.create();
  expect((await api.post(`/v1/sandboxes/${id}/pause`)).status).toBe(200);
  return id;
}

describe('pausing', () => {
  test('has the host freeze it, and shows since when it is paused', async () => {
    const asked: unknown[] = [];
    plane.host.script({
      pauseSandbox: ({ id, generation, diskOnly }) => {
        asked.push({ id, generation, diskOnly });
        const at = BigInt(Date.parse('2026-01-02T03:04:05.678Z'));
        return { sandbox: { id, generation, state: SandboxState.PAUSED, pausedAtMs: at } };
      },
    });
    const { id } = await api.create();
    const answer = await api.post(`/v1/sandboxes/${id}/pause`);
    expect(answer).toMatchObject({
      status: 200,
      body: { id, state: 'paused', paused_at: '2026-01-02T03:04:05.678Z', reason: null, resumed_by: null },
    });
    expect(await api.sandbox(id)).toEqual(answer.body);
    const other = await api.create();
    await api.post(`/v1/sandboxes/${other.id}/pause`, { memory: false });
    expect(asked).toEqual([
      { id, generation: 1n, diskOnly: false },
      { id: other.id, generation: 1n, diskOnly: true },
    ]);
  });

  test('one that is paused is answered as it is, without the host', async () => {
    const id = await paused();
    plane.host.script({ pauseSandbox: () => Promise.reject(new Error('asked again')) });
    expect(await api.post(`/v1/sandboxes/${id}/pause`)).toEqual({ status: 200, body: await api.sandbox(id) });
  });

  test('hazard 5: that fails leaves it running, and the caller hears why', async () => {
    plane.host.script({
      pauseSandbox: () => {
        throw new DormouseError('no_space', 'the disk is full', { suggestion: 'Delete a snapshot' });
      },
    });
    const { id } = await api.create();
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/pause`)).toEqual({
      status: 507,
      code: 'no_space',
      message: 'the disk is full. Delete a snapshot',
    });
    expect(await api.sandbox(id)).toMatchObject({ state: 'running', paused_at: null, reason: null });
    plane.host.reset();
    expect((await api.post(`/v1/sandboxes/${id}/pause`)).body.state).toBe('paused');
  });

  test('then commands and files say that it is paused and how to wake it', async () => {
    const id = await paused();
    const message = `the sandbox ${id} is paused, not running. Resume it: POST /v1/sandboxes/${id}/resume.`;
    const expected = { status: 409, code: 'invalid_state', message };
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/exec`, { cmd: 'true' })).toEqual(expected);
    expect(await api.refusal('GET', `/v1/sandboxes/${id}/files?path=/etc/hosts`)).toEqual(expected);
    expect(await api.refusal('GET', `/v1/sandboxes/${id}/dir?path=/`)).toEqual(expected);
    expect(await api.refusal('GET', `/v1/sandboxes/${id}/processes`)).toEqual(expected);
  });

  test('what has ended cannot be paused, resumed or forked', async () => {
    plane.host.script({
      createSandbox: () => {
        throw new DormouseError('boot_failed', 'no boot');
      },
    });
    await api.post('/v1/sandboxes', { metadata: { test: 'ended' } });
    const { body } = await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes?metadata.test=ended');
    const id = body.sandboxes[0]!.id;
    for (const verb of ['pause', 'resume', 'fork']) {
      expect(await api.refusal('POST', `/v1/sandboxes/${id}/${verb}`)).toEqual({
        status: 409,
        code: 'invalid_state',
        message: `the sandbox ${id} is error (no boot), not running`,
      });
    }
  });
});

describe('resuming', () => {
  test('begins a new generation and says how it came back', async () => {
    const asked: unknown[] = [];
    plane.host.script({
      resumeSandbox: ({ id, generation, reboot }) => {
        asked.push({ generation, reboot });
        const resumedBy = reboot ? ResumedBy.REBOOT : ResumedBy.MEMORY;
        return { sandbox: { id, generation, state: SandboxState.RUNNING, resumedBy } };
      },
    });
    const id = await paused();
    const first = await api.post(`/v1/sandboxes/${id}/resume`, { timeout_sec: 90 });
    expect(first).toMatchObject({
      status: 200,
      body: { id, state: 'running', paused_at: null, resumed_by: 'memory', timeout_sec: 90 },
    });
    expect(await api.sandbox(id)).toEqual(first.body);
    await api.post(`/v1/sandboxes/${id}/pause`);
    const second = await api.post(`/v1/sandboxes/${id}/resume`, { reboot: true });
    expect(second.body).toMatchObject({ state: 'running', resumed_by: 'reboot', timeout_sec: 90 });
    expect(asked).toEqual([
      { generation: 2n, reboot: false },
      { generation: 3n, reboot: true },
    ]);
  });

  test('by a boot that nobody asked for says why', async () => {
    plane.host.script({
      resumeSandbox: ({ id, generation }) => ({
        sandbox: {
          id,
          generation,
          state: SandboxState.RUNNING,
          resumedBy: ResumedBy.REBOOT,
          reason: 'its memory was lost: page 7 is damaged',
        },
      }),
    });
    const id = await paused();
    expect((await api.post(`/v1/sandboxes/${id}/resume`)).body).toMatchObject({
      state: 'running',
      resumed_by: 'reboot',
      reason: 'its memory was lost: page 7 is damaged',
    });
  });

  test('one that runs is answered as it is, without the host', async () => {
    const { id } = await api.create();
    plane.host.script({ resumeSandbox: () => Promise.reject(new Error('asked')) });
    expect(await api.post(`/v1/sandboxes/${id}/resume`)).toEqual({
      status: 200,
      body: await api.sandbox(id),
    });
  });

  test('hazard 8: ten at once are one, and ten equal answers', async () => {
    const id = await paused();
    const begun = gate();
    const finish = gate();
    let calls = 0;
    plane.host.script({
      resumeSandbox: async ({ id, generation }) => {
        calls += 1;
        begun.open();
        await finish.opened;
        return { sandbox: { id, generation, state: SandboxState.RUNNING, resumedBy: ResumedBy.MEMORY } };
      },
    });
    const asked = Array.from({ length: 10 }, () => api.post(`/v1/sandboxes/${id}/resume`));
    await begun.opened;
    expect((await api.sandbox(id)).state).toBe('resuming');
    finish.open();
    const answers = await Promise.all(asked);
    expect(calls).toBe(1);
    // Whoever came when it ran already has used it.
    const body = { ...(await api.sandbox(id)), last_active_at: expect.any(String) };
    for (const answer of answers) expect(answer).toEqual({ status: 200, body });
  });

  test('hazard 5: that fails leaves it paused, and the next attempt is another generation', async () => {
    const id = await paused();
    const before = await api.sandbox(id);
    plane.host.script({
      resumeSandbox: () => {
        throw new DormouseError('restore_failed', 'the guest did not answer');
      },
    });
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/resume`)).toEqual({
      status: 503,
      code: 'restore_failed',
      message: 'the guest did not answer',
    });
    expect(await api.sandbox(id)).toEqual(before);
    let asked: bigint | undefined;
    plane.host.script({
      resumeSandbox: ({ id, generation }) => {
        asked = generation;
        return { sandbox: { id, generation, state: SandboxState.RUNNING } };
      },
    });
    expect((await api.post(`/v1/sandboxes/${id}/resume`)).body.state).toBe('running');
    expect(asked).toBe(3n);
  });

  test('hazard 5: what the host has lost stays, and is said to be lost', async () => {
    const id = await paused();
    plane.host.script({
      resumeSandbox: () => {
        throw new DormouseError('not_found', 'there is no such sandbox');
      },
    });
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/resume`)).toEqual({
      status: 409,
      code: 'invalid_state',
      message: `the host does not have the sandbox ${id}: there is no such sandbox. It can only be destroyed, unless the host gets its data directory back.`,
    });
    expect((await api.sandbox(id)).state).toBe('paused');
    expect((await api.ask('DELETE', `/v1/sandboxes/${id}`)).status).toBe(204);
  });
});

describe('hazard 8: at the same time', () => {
  test('a resume waits for the pause before it', async () => {
    const begun = gate();
    const finish = gate();
    plane.host.script({
      pauseSandbox: async ({ id, generation }) => {
        begun.open();
        await finish.opened;
        return { sandbox: { id, generation, state: SandboxState.PAUSED } };
      },
    });
    const { id } = await api.create();
    const pausing = api.post(`/v1/sandboxes/${id}/pause`);
    await begun.opened;
    const resuming = api.post(`/v1/sandboxes/${id}/resume`);
    finish.open();
    expect((await pausing).body.state).toBe('paused');
    expect((await resuming).body).toMatchObject({ state: 'running', resumed_by: 'memory' });
  });

  test.each(['pause', 'resume', 'fork'])('it can be destroyed during a %s', async (verb) => {
    const begun = gate();
    const finish = gate();
    const hang = async () => {
      begun.open();
      await finish.opened;
      return { sandbox: { state: SandboxState.RUNNING }, results: [] };
    };
    const id = verb === 'resume' ? await paused() : (await api.create()).id;
    plane.host.script({ pauseSandbox: hang, resumeSandbox: hang, forkSandbox: hang });
    const working = api.ask<{ error?: { code: string; message: string } }>(
      'POST',
      `/v1/sandboxes/${id}/${verb}`,
    );
    await begun.opened;
    expect((await api.ask('DELETE', `/v1/sandboxes/${id}`)).status).toBe(204);
    finish.open();
    const { status, body } = await working;
    if (verb !== 'fork') {
      expect([status, body.error?.message]).toEqual([
        409,
        `the sandbox ${id} was destroyed while it was being ${verb}d`,
      ]);
    }
    expect((await api.refusal('GET', `/v1/sandboxes/${id}`)).code).toBe('not_found');
  });

  test('fifty random operations are one after the other on the host, and end in one of the two states', async () => {
    const { id } = await api.create();
    let busy = 0;
    let state = 'running';
    let generation = 1n;
    const complaints: string[] = [];
    const alone = async <Result>(work: () => Result): Promise<Result> => {
      busy += 1;
      if (busy > 1) complaints.push(`${busy} at once`);
      await new Promise((resolve) => setImmediate(resolve));
      busy -= 1;
      return work();
    };
    plane.host.script({
      pauseSandbox: (request) =>
        alone(() => {
          if (state !== 'running') complaints.push(`pause of what is ${state}`);
          if (request.generation !== generation) complaints.push('pause of another generation');
          state = 'paused';
          return { sandbox: { id, generation, state: SandboxState.PAUSED } };
        }),
      resumeSandbox: (request) =>
        alone(() => {
          if (state !== 'paused') complaints.push(`resume of what is ${state}`);
          if (request.generation !== generation + 1n) complaints.push('resume into another generation');
          state = 'running';
          generation = request.generation;
          return { sandbox: { id, generation, state: SandboxState.RUNNING } };
        }),
      forkSandbox: ({ children }) =>
        alone(() => ({
          results: children.map((child) => ({ id: child.id, code: 'no_capacity', message: 'no' })),
        })),
      createSnapshot: ({ id: snapshotId }) => alone(() => ({ snapshot: { id: snapshotId } })),
    });
    const operations = [
      () => api.post(`/v1/sandboxes/${id}/pause`),
      () => api.post(`/v1/sandboxes/${id}/resume`),
      () => api.post(`/v1/sandboxes/${id}/fork`),
      () => api.post('/v1/snapshots', { sandbox_id: id }),
      () => api.post('/v1/snapshots', { sandbox_id: id, pause: true }),
    ];
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => operations[Math.floor(Math.random() * operations.length)]?.()),
    );
    expect(complaints).toEqual([]);
    for (const answer of answers) expect([200, 201]).toContain(answer?.status);
    expect((await api.sandbox(id)).state).toBe(state);
  });
});

describe('forking', () => {
  test('makes children that are like their source, and the source goes on', async () => {
    const source = await api.create({
      vcpus: 1,
      metadata: { a: 'b' },
      envs: { SECRET: 'x' },
      timeout_sec: 50,
    });
    let asked: readonly { id: string; generation: bigint }[] = [];
    plane.host.script({
      forkSandbox: async ({ children }) => {
        asked = children.map(({ id, generation }) => ({ id, generation }));
        expect((await api.sandbox(source.id)).state).toBe('snapshotting');
        return {
          results: children.map(({ id, generation }, index) =>
            index === 1
              ? { id, code: 'no_capacity', message: 'no memory for another guest' }
              : {
                  id,
                  sandbox: { id, generation, state: SandboxState.RUNNING, startedAtMs: 1_767_225_600_000n },
                },
          ),
        };
      },
    });
    const { status, body } = await api.post<ForkResults>(`/v1/sandboxes/${source.id}/fork`, {
      count: 3,
      timeout_sec: 60,
    });
    expect(status).toBe(201);
    expect(asked.map(({ generation }) => generation)).toEqual([1n, 1n, 1n]);
    const child = (index: number) => ({
      sandbox: {
        ...source,
        id: asked[index]?.id,
        timeout_sec: 60,
        created_at: expect.any(String),
        started_at: '2026-01-01T00:00:00.000Z',
        last_active_at: '2026-01-01T00:00:00.000Z',
        expires_at: '2026-01-01T00:01:00.000Z',
      },
    });
    expect(body.results).toEqual([
      child(0),
      { error: { code: 'no_capacity', message: 'no memory for another guest' } },
      child(2),
    ]);
    expect((await api.sandbox(source.id)).state).toBe('running');
    expect((await api.refusal('GET', `/v1/sandboxes/${asked[1]?.id}`)).code).toBe('not_found');
  });

  test('of a paused one leaves it paused', async () => {
    const id = await paused();
    const { body } = await api.post<ForkResults>(`/v1/sandboxes/${id}/fork`);
    expect(body.results).toMatchObject([{ sandbox: { state: 'running', paused_at: null } }]);
    expect((await api.sandbox(id)).state).toBe('paused');
  });

  test('hazard 16: that fails altogether leaves no children, and the source runs on', async () => {
    const { id } = await api.create({ metadata: { test: 'fork' } });
    plane.host.script({
      forkSandbox: () => {
        throw new DormouseError('pause_failed', 'it would not stand still');
      },
    });
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/fork`, { count: 100 })).toEqual({
      status: 503,
      code: 'pause_failed',
      message: 'it would not stand still',
    });
    const { body } = await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes?metadata.test=fork');
    expect(body.sandboxes.map((sandbox) => [sandbox.id, sandbox.state])).toEqual([[id, 'running']]);
  });

  test('hazard 16: destroys a child that fails after another control plane has found it running', async () => {
    const { id } = await api.create();
    const { sandboxes } = plane.services.store.forTeam(plane.team.teamId);
    const destroyed: string[] = [];
    let child = '';
    plane.host.script({
      destroySandbox: (request) => {
        destroyed.push(request.id);
        return {};
      },
      forkSandbox: async ({ children }) => {
        child = children[0]!.id;
        await sandboxes.transition({ id: child, from: (await sandboxes.get(child))!, to: 'running' });
        return { results: [{ id: child, code: 'restore_failed', message: 'its VM ended' }] };
      },
    });
    const { body } = await api.post<ForkResults>(`/v1/sandboxes/${id}/fork`);
    expect(body.results).toEqual([{ error: { code: 'restore_failed', message: 'its VM ended' } }]);
    expect(destroyed).toEqual([child]);
    expect(await sandboxes.get(child)).toBeUndefined();
  });

  test.each([0, 101, 1.5])('%s children are refused', async (count) => {
    const { id } = await api.create();
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/fork`, { count })).toEqual({
      status: 400,
      code: 'invalid_request',
      message: 'count: must be a whole number from 1 to 100',
    });
  });
});

test('hazard 14: another team cannot pause, resume, fork or join what is under way', async () => {
  const begun = gate();
  const finish = gate();
  plane.host.script({
    pauseSandbox: async ({ id, generation }) => {
      begun.open();
      await finish.opened;
      return { sandbox: { id, generation, state: SandboxState.PAUSED } };
    },
  });
  const { id } = await api.create();
  const pausing = api.post(`/v1/sandboxes/${id}/pause`);
  await begun.opened;
  const stranger = new ApiClient(plane, (await plane.newTeam()).key);
  for (const verb of ['pause', 'resume', 'fork']) {
    for (const target of [id, 'sb00000000000000000000', 'x']) {
      expect(await stranger.refusal('POST', `/v1/sandboxes/${target}/${verb}`)).toEqual({
        status: 404,
        code: 'not_found',
        message: `there is no sandbox ${target}`,
      });
    }
  }
  finish.open();
  expect((await pausing).body.state).toBe('paused');
});
