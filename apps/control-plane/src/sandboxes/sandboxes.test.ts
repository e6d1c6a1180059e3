import type { Sandbox } from '@dormouse/contracts';
import { SANDBOX_ID_PATTERN, SandboxState } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { SandboxState as HostSandboxState } from '@dormouse/host-api';
import { SANDBOX_STATES } from '@dormouse/lifecycle';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { reconcileOnce } from '../reconciler/reconcile.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

async function create(body: unknown = {}): Promise<Response> {
  return plane.request('/v1/sandboxes', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

async function get(id: string): Promise<Sandbox> {
  return (await (await plane.request(`/v1/sandboxes/${id}`)).json()) as Sandbox;
}

async function list(query = ''): Promise<{ sandboxes: Sandbox[]; next_cursor: string | null }> {
  return (await (await plane.request(`/v1/sandboxes${query}`)).json()) as never;
}

async function errorOf(response: Response): Promise<{ code: string; message: string }> {
  return ((await response.json()) as { error: { code: string; message: string } }).error;
}

/** A promise and the function that resolves it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test('the states of the contract are those of the lifecycle', () => {
  expect(SandboxState.options).toEqual([...SANDBOX_STATES]);
});

describe('creating', () => {
  test('without a body makes a sandbox of the base template with its defaults', async () => {
    const answer = await plane.request('/v1/sandboxes', { method: 'POST' });
    expect(answer.status).toBe(201);
    const sandbox = (await answer.json()) as Sandbox;
    expect(sandbox.id).toMatch(SANDBOX_ID_PATTERN);
    expect(answer.headers.get('location')).toBe(`/v1/sandboxes/${sandbox.id}`);
    expect(sandbox).toMatchObject({
      state: 'running',
      reason: null,
      template: 'base',
      vcpus: 2,
      memory_mb: 512,
      disk_mb: 4096,
      timeout_sec: 0,
      on_timeout: 'pause',
      internet: true,
      metadata: {},
      paused_at: null,
      host_id: 'host-1',
    });
    expect(await get(sandbox.id)).toEqual(sandbox);
  });

  test('tells the host what was asked for, and keeps environment variables to itself', async () => {
    let asked: unknown;
    plane.host.script({
      createSandbox: ({ id, generation, spec }) => {
        asked = {
          generation,
          template: spec?.template,
          vcpus: spec?.vcpus,
          memoryMb: spec?.memoryMb,
          envs: spec?.envs,
          internet: spec?.internet,
        };
        return { sandbox: { id, generation, state: HostSandboxState.RUNNING } };
      },
    });
    const answer = await create({
      vcpus: 1,
      memory_mb: 256,
      envs: { TOKEN: 'hunter2' },
      internet: false,
      metadata: { a: 'b' },
    });
    const text = await answer.text();
    expect(asked).toEqual({
      generation: 1n,
      template: 'base',
      vcpus: 1,
      memoryMb: 256,
      envs: { TOKEN: 'hunter2' },
      internet: false,
    });
    expect(JSON.parse(text)).toMatchObject({
      vcpus: 1,
      memory_mb: 256,
      internet: false,
      metadata: { a: 'b' },
    });
    expect(text).not.toContain('hunter2');
    expect(plane.logged()).not.toContain('hunter2');
  });

  test('an unknown template is a 404 and leaves nothing behind', async () => {
    const before = (await list()).sandboxes.length;
    const answer = await create({ template: 'nope' });
    expect(answer.status).toBe(404);
    expect(await errorOf(answer)).toMatchObject({
      code: 'not_found',
      message:
        'there is no template nope. GET /v1/snapshots lists what there is: templates and your snapshots.',
    });
    expect((await list()).sandboxes.length).toBe(before);
  });

  test.each([
    [{ vcpus: 0 }, 'vcpus: must be a whole number from 1 to 64'],
    [{ vcpus: 1000 }, 'vcpus: must be a whole number from 1 to 64'],
    [{ memory_mb: 1 }, 'memory_mb: must be a whole number from 128 to 1048576'],
    [{ memory_mb: 1e12 }, 'memory_mb: must be a whole number from 128 to 1048576'],
    [{ timeout_sec: -1 }, 'timeout_sec: must be a whole number from 0 to 31536000'],
    [{ on_timeout: 'explode' }, 'on_timeout: Invalid option: expected one of "pause"|"kill"'],
    [{ memory: 512 }, 'Unrecognized key: "memory"'],
    [[], 'Invalid input: expected object, received array'],
  ])('absurd values are refused: %j', async (body, message) => {
    const answer = await create(body);
    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({ code: 'invalid_request', message });
  });

  test.each(['../etc', '..', 'a/b', '', 'x'.repeat(65), '%2e%2e'])(
    'hazard 14: the template name %j cannot climb out of a folder',
    async (template) => {
      const answer = await create({ template });
      expect([answer.status, (await errorOf(answer)).code]).toEqual([400, 'invalid_request']);
    },
  );

  test('hazard 16: one that fails ends as an error with its reason, and the host is told to let go', async () => {
    const destroyed: string[] = [];
    plane.host.script({
      createSandbox: () => {
        throw new DormouseError('no_capacity', 'no memory for another guest', { suggestion: 'Destroy one' });
      },
      destroySandbox: ({ id }) => {
        destroyed.push(id);
        return {};
      },
    });
    const answer = await create({ metadata: { test: 'failing' } });
    expect(answer.status).toBe(503);
    expect(await errorOf(answer)).toMatchObject({
      code: 'no_capacity',
      message: 'no memory for another guest. Destroy one',
    });
    const [failed] = (await list('?metadata.test=failing')).sandboxes;
    expect(failed).toMatchObject({ state: 'error', reason: 'no memory for another guest' });
    expect(destroyed).toEqual([failed?.id]);
    expect((await plane.request(`/v1/sandboxes/${failed?.id}`, { method: 'DELETE' })).status).toBe(204);
    expect((await list('?metadata.test=failing')).sandboxes).toEqual([]);
  });

  test('hazard 8: destroyed while it boots, it does not come back', async () => {
    const booting = gate();
    const boot = gate();
    let id = '';
    plane.host.script({
      createSandbox: async (request) => {
        id = request.id;
        booting.open();
        await boot.opened;
        return { sandbox: { id, generation: request.generation, state: HostSandboxState.RUNNING } };
      },
    });
    const creating = create();
    await booting.opened;
    expect((await get(id)).state).toBe('pending');
    expect((await plane.request(`/v1/sandboxes/${id}`, { method: 'DELETE' })).status).toBe(204);
    boot.open();
    const answer = await creating;
    expect(answer.status).toBe(409);
    expect(await errorOf(answer)).toMatchObject({
      code: 'invalid_state',
      message: `the sandbox ${id} was destroyed while it was starting`,
    });
    expect((await plane.request(`/v1/sandboxes/${id}`)).status).toBe(404);
  });
});

describe('listing', () => {
  test('pages from newest to oldest without gaps', async () => {
    const metadata = { test: 'paging' };
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.unshift(((await (await create({ metadata })).json()) as Sandbox).id);
    const seen: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const page = await list(`?limit=2&metadata.test=paging${query}`);
      seen.push(...page.sandboxes.map(({ id }) => id));
      cursor = page.next_cursor;
      pages++;
    } while (cursor !== null);
    expect([seen, pages]).toEqual([made, 3]);
  });

  test('filters by state and by several metadata at once', async () => {
    await create({ metadata: { colour: 'red', size: 'l' } });
    await create({ metadata: { colour: 'red', size: 's' } });
    expect((await list('?metadata.colour=red')).sandboxes.length).toBe(2);
    expect((await list('?metadata.colour=red&metadata.size=l')).sandboxes.length).toBe(1);
    expect((await list('?metadata.colour=red&state=paused')).sandboxes).toEqual([]);
    expect((await list(`?metadata.colour=${encodeURIComponent(`red' or 1=1 --`)}`)).sandboxes).toEqual([]);
  });

  test.each([
    ['?limit=0', 'limit: must be a whole number from 1 to 1000'],
    ['?limit=all', 'limit: must be a whole number from 1 to 1000'],
    ['?state=asleep', /^state: Invalid option/],
    ['?cursor=nonsense', 'cursor: must be the next_cursor of an earlier page'],
    ['?metadata.=x', 'metadata.: name the key, as in metadata.k=v'],
    ['?metadata.k=%00', 'metadata.k: must not contain a NUL byte'],
  ])('refuses %s', async (query, message) => {
    const answer = await plane.request(`/v1/sandboxes${query}`);
    expect(answer.status).toBe(400);
    const error = await errorOf(answer);
    if (typeof message === 'string') expect(error.message).toBe(message);
    else expect(error.message).toMatch(message);
  });
});

describe('hazard 14: scoping', () => {
  test("another team's sandbox, an unknown one and a malformed id answer the same 404 on every route", async () => {
    const id = await plane.createSandbox();
    const stranger = await plane.newTeam();
    const headers = { 'x-api-key': stranger.key };
    const routes: [string, string, string?][] = [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/exec', '{"cmd":"true"}'],
      ['GET', '/files?path=/etc/passwd'],
      ['PUT', '/files?path=/tmp/x', 'data'],
      ['DELETE', '/files?path=/tmp/x'],
      ['GET', '/dir?path=/'],
      ['POST', '/dir', '{"path":"/tmp/d"}'],
      ['POST', '/files/write?path=/tmp/x', 'data'],
      ['POST', '/files/stream/write?path=/tmp/x', 'data'],
      ['POST', '/files/read', '{"path":"/etc/passwd"}'],
      ['POST', '/files/stream/read', '{"path":"/etc/passwd"}'],
      ['GET', '/processes'],
      ['DELETE', '/processes/1'],
      ['GET', '/metrics'],
      ['GET', '/logs'],
    ];
    for (const [method, end, body] of routes) {
      for (const target of [id, 'sb00000000000000000000', '..%2f..%2fetc', 'x']) {
        const contentType =
          typeof body === 'string' && body.startsWith('{') ? 'application/json' : 'application/octet-stream';
        const answer = await plane.request(`/v1/sandboxes/${target}${end}`, {
          method,
          headers: body === undefined ? headers : { ...headers, 'content-type': contentType },
          ...(body === undefined ? {} : { body }),
        });
        expect([method, end, answer.status]).toEqual([method, end, 404]);
        expect(await errorOf(answer)).toMatchObject({
          code: 'not_found',
          message: `there is no sandbox ${decodeURIComponent(target)}`,
        });
      }
    }
    expect((await get(id)).state).toBe('running');
    const theirs = await plane.request('/v1/sandboxes', { headers });
    expect(await theirs.json()).toEqual({ sandboxes: [], next_cursor: null });
  });
});

describe('destroying', () => {
  test('is done once, however many ask', async () => {
    const id = await plane.createSandbox();
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => plane.request(`/v1/sandboxes/${id}`, { method: 'DELETE' })),
    );
    for (const { status } of answers) expect([204, 404]).toContain(status);
    expect(answers.map(({ status }) => status)).toContain(204);
    expect((await plane.request(`/v1/sandboxes/${id}`, { method: 'DELETE' })).status).toBe(404);
  });

  test('hazard 9: stays stopping while the host cannot do it, and is finished by the reconciler', async () => {
    const id = await plane.createSandbox();
    plane.host.script({
      destroySandbox: () => {
        throw new DormouseError('unavailable', 'the agent is restarting');
      },
    });
    expect((await plane.request(`/v1/sandboxes/${id}`, { method: 'DELETE' })).status).toBe(503);
    expect((await get(id)).state).toBe('stopping');
    plane.host.reset();
    const { acted } = await reconcileOnce(plane.services);
    expect(acted).toContainEqual({ id, decision: { action: 'finish_stopping' } });
    expect((await plane.request(`/v1/sandboxes/${id}`)).status).toBe(404);
  });
});

describe('hazard 9: reconciling', () => {
  test('a sandbox whose VM ended is shown as stopped with the reason until it is deleted', async () => {
    const id = await plane.createSandbox();
    plane.host.script({
      listSandboxes: () => ({
        sandboxes: [{ id, generation: 1n, state: HostSandboxState.STOPPED, reason: 'kernel panic' }],
      }),
    });
    await reconcileOnce(plane.services);
    expect(await get(id)).toMatchObject({
      state: 'stopped',
      reason: 'its virtual machine ended: kernel panic',
    });
    const exec = await plane.request(`/v1/sandboxes/${id}/exec`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"cmd":"true"}',
    });
    expect(exec.status).toBe(409);
    expect((await errorOf(exec)).message).toBe(
      `the sandbox ${id} is stopped (its virtual machine ended: kernel panic), not running`,
    );
    const destroyed: string[] = [];
    plane.host.script({
      destroySandbox: (request) => {
        destroyed.push(request.id);
        return {};
      },
    });
    await reconcileOnce(plane.services);
    expect(destroyed).toEqual([]);
    expect((await plane.request(`/v1/sandboxes/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect((await plane.request(`/v1/sandboxes/${id}`)).status).toBe(404);
  });

  test('a creation that nobody finished is adopted when the host runs it, and an error when it does not', async () => {
    const { store } = plane.services;
    const orphan = {
      template: 'base',
      imageId: 'img-1',
      vcpus: 1,
      memoryMb: 128,
      diskMb: 1024,
      timeoutSec: 0,
      onTimeout: 'pause' as const,
      onMemoryLoss: 'reboot' as const,
      internet: true,
      envs: {},
      metadata: {},
      hostId: 'host-1',
    };
    const { sandboxes } = store.forTeam(plane.team.teamId);
    await sandboxes.insert({ ...orphan, id: 'sbaaaaaaaaaaaaaaaaaaa1' });
    await sandboxes.insert({ ...orphan, id: 'sbaaaaaaaaaaaaaaaaaaa2' });
    plane.host.script({
      listSandboxes: () => ({
        sandboxes: [{ id: 'sbaaaaaaaaaaaaaaaaaaa1', generation: 1n, state: HostSandboxState.RUNNING }],
      }),
    });
    await reconcileOnce(plane.services);
    expect(await get('sbaaaaaaaaaaaaaaaaaaa1')).toMatchObject({ state: 'running', reason: null });
    expect(await get('sbaaaaaaaaaaaaaaaaaaa2')).toMatchObject({
      state: 'error',
      reason: 'its creation was interrupted',
    });
  });

  test('what is being created right now is left alone, even when the host does not list it yet', async () => {
    const booting = gate();
    const boot = gate();
    const destroyed: string[] = [];
    let id = '';
    plane.host.script({
      createSandbox: async (request) => {
        id = request.id;
        booting.open();
        await boot.opened;
        return { sandbox: { id, generation: request.generation, state: HostSandboxState.RUNNING } };
      },
      destroySandbox: (request) => {
        destroyed.push(request.id);
        return {};
      },
    });
    const creating = create();
    await booting.opened;
    await reconcileOnce(plane.services);
    expect((await get(id)).state).toBe('pending');
    boot.open();
    expect((await creating).status).toBe(201);
    expect(destroyed).not.toContain(id);
  });

  test('while the host cannot be reached nothing changes its state', async () => {
    const id = await plane.createSandbox();
    plane.host.script({
      listSandboxes: () => {
        throw new DormouseError('unavailable', 'gone');
      },
    });
    await expect(reconcileOnce(plane.services)).rejects.toThrow('gone');
    expect((await get(id)).state).toBe('running');
  });

  test('hazard 5: what the host holds and this database has never heard of is left alone', async () => {
    const destroyed: string[] = [];
    plane.host.script({
      listSandboxes: () => ({
        sandboxes: [{ id: 'sbzzzzzzzzzzzzzzzzzzzz', generation: 1n, state: HostSandboxState.RUNNING }],
      }),
      destroySandbox: ({ id }) => {
        destroyed.push(id);
        return {};
      },
    });
    const { strangers } = await reconcileOnce(plane.services);
    expect(strangers).toEqual(['sbzzzzzzzzzzzzzzzzzzzz']);
    expect(destroyed).toEqual([]);
  });

  test('hazard 16: what was deleted while the host was away is destroyed when it is back', async () => {
    const id = await plane.createSandbox();
    plane.host.script({
      listSandboxes: () => ({ sandboxes: [{ id, generation: 1n, state: HostSandboxState.STOPPED }] }),
    });
    await reconcileOnce(plane.services);
    plane.host.script({
      destroySandbox: () => {
        throw new DormouseError('unavailable', 'gone');
      },
    });
    expect((await plane.request(`/v1/sandboxes/${id}`, { method: 'DELETE' })).status).toBe(503);
    const destroyed: string[] = [];
    plane.host.script({
      listSandboxes: () => ({ sandboxes: [{ id, generation: 1n, state: HostSandboxState.STOPPED }] }),
      destroySandbox: (request) => {
        destroyed.push(request.id);
        return {};
      },
    });
    await reconcileOnce(plane.services);
    expect(destroyed).toEqual([id]);
  });
});
