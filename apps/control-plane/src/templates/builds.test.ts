import { setTimeout as wait } from 'node:timers/promises';
import type { BuildLogEntry, Sandbox, Snapshot, TemplateBuild, TemplateBuildList } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { type ExecRequest, type ExecStart, SandboxState } from '@dormouse/host-api';
import type { TeamScope } from '@dormouse/store';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane, type TestTeam } from '../testing/control-plane.js';
import { type Gate, gate } from '../testing/gate.js';
import { runBuild } from './build.js';
import { type BuildJobs, openBuildJobs } from './build-jobs.js';

interface Done {
  readonly command: string;
  readonly user: string;
  readonly workdir: string | undefined;
  readonly envs: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly killOnDisconnect: boolean;
}

let plane: TestControlPlane;
let jobs: BuildJobs;
let worker: { stop(): Promise<void> };
let owner: TestTeam;
let api: ApiClient;
let team: TeamScope;
/** Commands that ran in sandboxes of builds. */
let done: Done[];
/** What sandboxes were made of: snapshot ids; '' is the template. */
let made: { snapshotId: string; envs: Record<string, string> }[];
/** Ids of the sandboxes and snapshots that the host was told to end. */
let ended: string[];
/** Exit codes of commands; 0 unless something else is said. */
let codes: Map<string, number[]>;
/** Commands that do not end before their gate is open. */
let gates: Map<string, { begun: Gate; finish: Gate }>;

beforeAll(async () => {
  plane = await startTestControlPlane();
  jobs = await openBuildJobs(plane.databaseUrl, plane.services.log);
  worker = await jobs.start(plane.services);
}, 60_000);
afterAll(async () => {
  await worker.stop();
  await jobs.close();
  await plane.close();
}, 60_000);

/** Every test has a team of its own. */
beforeEach(async () => {
  plane.host.reset();
  [done, made, ended, codes, gates] = [[], [], [], new Map(), new Map()];
  plane.host.script({
    createSandbox: ({ id, generation, spec }) => {
      made.push({ snapshotId: spec?.snapshotId ?? '', envs: spec?.envs ?? {} });
      return { sandbox: { id, generation, state: SandboxState.RUNNING, startedAtMs: BigInt(Date.now()) } };
    },
    destroySandbox: ({ id }) => {
      ended.push(id);
      return {};
    },
    deleteSnapshot: ({ id }) => {
      ended.push(id);
      return {};
    },
    exec: async function* (requests) {
      const input = requests[Symbol.asyncIterator]();
      const first = (await input.next()).value as ExecRequest;
      const start = first.message.value as ExecStart;
      let stdin = '';
      for (
        let next = start.stdin ? await input.next() : undefined;
        next && !next.done;
        next = await input.next()
      ) {
        if (next.value.message.case === 'stdin') stdin += Buffer.from(next.value.message.value).toString();
        if (next.value.message.case === 'closeStdin') break;
      }
      yield { message: { case: 'started' as const, value: { pid: 7 } } };
      const copies = start.argv[2] === '-c' && start.argv[1] === '-e';
      const command = copies ? `copy ${start.argv[5]} ${start.argv[6]}` : (start.argv[5] ?? '');
      const { envs, user, killOnDisconnect } = start;
      done.push({
        command,
        user,
        workdir: copies ? undefined : start.argv[4],
        envs: { ...envs },
        stdin,
        killOnDisconnect,
      });
      const held = gates.get(command);
      held?.begun.open();
      await held?.finish.opened;
      yield { message: { case: 'stdout' as const, value: Buffer.from(`did ${command}\n`) } };
      const exitCode = codes.get(command)?.shift() ?? 0;
      yield { message: { case: 'exited' as const, value: { exitCode, signal: 0 } } };
    },
  });
  owner = await plane.newTeam();
  api = new ApiClient(plane, owner.key);
  team = plane.services.store.forTeam(owner.teamId);
});

const run = (command: string) => ({ type: 'run', command });
const begin = async (json: object) =>
  (await api.post<TemplateBuild>('/v1/templates', { name: 'web', ...json })).body;
const get = async (id: string) => (await api.ask<TemplateBuild>('GET', `/v1/templates/builds/${id}`)).body;
const ids = async () => {
  const { body } = await api.ask<{ snapshots: Snapshot[] }>('GET', '/v1/snapshots?type=snapshot');
  return body.snapshots.map(({ id }) => id);
};

/** The log of a build, followed to its end. */
async function follow(id: string): Promise<BuildLogEntry[]> {
  const answer = await plane.request(`/v1/templates/builds/${id}/logs?follow=true`, {
    headers: { 'x-api-key': owner.key },
  });
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
  const lines = (await answer.text()).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as BuildLogEntry);
}

async function build(json: object): Promise<TemplateBuild> {
  const { id } = await begin(json);
  await follow(id);
  return get(id);
}

function hold(command: string): { begun: Gate; finish: Gate } {
  const held = { begun: gate(), finish: gate() };
  gates.set(command, held);
  return held;
}

describe('a build', () => {
  test('does its steps in a sandbox of what it begins with, and its last moment is the template', async () => {
    const queued = await begin({
      steps: [
        run('apt-get install -y nginx'),
        { type: 'env', envs: { PORT: '8000' } },
        { type: 'workdir', path: '/srv' },
        { type: 'copy', path: '/srv/app.py', content: 'cHJpbnQoMSkK', encoding: 'base64' },
        { type: 'user', name: 'user' },
        run('python3 app.py --check'),
      ],
    });
    expect(queued).toMatchObject({ name: 'web', from: 'base', state: 'queued', steps: 6, step: 0 });
    const log = await follow(queued.id);
    expect(log.filter(({ stream }) => stream === 'build').map(({ step, text }) => [step, text])).toEqual([
      [1, 'step 1 of 6: run apt-get install -y nginx\n'],
      [2, 'step 2 of 6: env PORT\n'],
      [3, 'step 3 of 6: workdir /srv\n'],
      [4, 'step 4 of 6: copy /srv/app.py\n'],
      [5, 'step 5 of 6: user user\n'],
      [6, 'step 6 of 6: run python3 app.py --check\n'],
      [0, 'ready: web\n'],
    ]);
    expect(log.filter(({ stream }) => stream === 'stdout').map(({ step, text }) => [step, text])).toEqual([
      [1, 'did apt-get install -y nginx\n'],
      [4, 'did copy /srv/app.py 0644\n'],
      [6, 'did python3 app.py --check\n'],
    ]);
    const plain = { stdin: '', killOnDisconnect: true };
    const envs = { PORT: '8000' };
    expect(done).toEqual([
      { command: 'apt-get install -y nginx', user: 'root', workdir: '/', envs: {}, ...plain },
      {
        command: 'copy /srv/app.py 0644',
        user: 'root',
        workdir: undefined,
        envs,
        ...plain,
        stdin: 'print(1)\n',
      },
      { command: 'python3 app.py --check', user: 'user', workdir: '/srv', envs, ...plain },
    ]);
    const built = await get(queued.id);
    expect(built).toMatchObject({ state: 'ready', step: 6, cached_steps: 0, error: null });
    expect((await api.ask<Snapshot>('GET', '/v1/snapshots/web')).body).toMatchObject({
      id: built.snapshot_id,
      description: 'built from base',
    });
    // The sandbox it was built in is gone.
    expect((await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes')).body.sandboxes).toEqual([]);
    await api.create({ template: 'web', envs: { MODE: 'test' } });
    expect(made).toEqual([
      { snapshotId: '', envs: {} },
      { snapshotId: built.snapshot_id, envs: { PORT: '8000', MODE: 'test' } },
    ]);
  });

  test('starts what is to run, and waits until it is ready', async () => {
    codes.set('ready?', [1, 1, 0]);
    await build({ steps: [{ type: 'user', name: 'user' }], start_command: 'serve', ready_command: 'ready?' });
    expect(done.map(({ command, user, killOnDisconnect }) => [command, user, killOnDisconnect])).toEqual([
      ['serve', 'user', false],
      ['ready?', 'user', true],
      ['ready?', 'user', true],
      ['ready?', 'user', true],
    ]);
    expect(await ids()).toHaveLength(1);
  });

  test('begins after the last step up to which nothing has changed, and lets go of what nobody needs', async () => {
    await build({ steps: [run('a'), run('b'), run('c')] });
    const first = await ids();
    expect(first).toHaveLength(4);
    [done, made] = [[], []];
    const second = await build({ steps: [run('a'), run('b'), run('d')] });
    expect(second).toMatchObject({ state: 'ready', step: 3, cached_steps: 2 });
    expect(done.map(({ command }) => command)).toEqual(['d']);
    expect(first).toContain(made[0]?.snapshotId);
    // Of the first build the template and the layer after c are gone, those after a and b stay.
    const now = await ids();
    expect(now).toHaveLength(4);
    expect(now.filter((id) => first.includes(id))).toHaveLength(2);
    done = [];
    expect(await build({ steps: [run('a'), run('b')], cache: false })).toMatchObject({ cached_steps: 0 });
    expect(done.map(({ command }) => command)).toEqual(['a', 'b']);
  });

  test('hazard 5: that fails leaves the template as it was, and goes on after what was done when it is mended', async () => {
    const before = await build({ steps: [run('a')] });
    codes.set('b', [3]);
    const failed = await build({ steps: [run('a'), run('x'), run('b')] });
    expect(failed).toMatchObject({
      state: 'failed',
      step: 2,
      snapshot_id: null,
      error: 'step 3 ended with exit code 3',
    });
    expect((await api.ask<Snapshot>('GET', '/v1/snapshots/web')).body.id).toBe(before.snapshot_id);
    done = [];
    expect(await build({ steps: [run('a'), run('x'), run('b')] })).toMatchObject({ cached_steps: 2 });
    expect(done.map(({ command }) => command)).toEqual(['b']);
  });

  test('hazard 5: that is cancelled ends, leaves the template as it was, and keeps what was done for the next', async () => {
    const before = await build({ steps: [run('a')] });
    const held = hold('slow');
    const { id } = await begin({ steps: [run('a'), run('b'), run('slow')] });
    await held.begun.opened;
    const asked = await api.post<TemplateBuild>(`/v1/templates/builds/${id}/cancel`, {});
    expect(asked.body.state).toBe('running');
    const log = await follow(id);
    expect(log.at(-1)?.text).toBe('cancelled\n');
    expect(await get(id)).toMatchObject({ state: 'cancelled', step: 2, snapshot_id: null, error: null });
    const again = await api.post<TemplateBuild>(`/v1/templates/builds/${id}/cancel`, {});
    expect(again.body.state).toBe('cancelled');
    expect((await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes')).body.sandboxes).toEqual([]);
    expect((await api.ask<Snapshot>('GET', '/v1/snapshots/web')).body.id).toBe(before.snapshot_id);
    held.finish.open();
    gates.clear();
    done = [];
    const next = await build({ steps: [run('a'), run('b'), run('slow')] });
    expect(next).toMatchObject({ state: 'ready', cached_steps: 2 });
    expect(await api.refusal('POST', `/v1/templates/builds/${next.id}/cancel`, {})).toMatchObject({
      code: 'invalid_state',
    });
  });

  test('hazard 5: leaves a snapshot alone that has taken its name meanwhile', async () => {
    const held = hold('slow');
    const { id } = await begin({ steps: [run('slow')] });
    await held.begun.opened;
    const sandbox = await api.create();
    const mine = await api.snapshot({ sandbox_id: sandbox.id, name: 'web' });
    held.finish.open();
    await follow(id);
    expect(await get(id)).toMatchObject({
      state: 'failed',
      snapshot_id: null,
      error: 'web is the name of a snapshot that was not built',
    });
    expect((await api.ask<Snapshot>('GET', '/v1/snapshots/web')).body.id).toBe(mine.id);
    expect(ended).not.toContain(mine.id);
  });

  test('hazard 5: does not replace what a newer build of its name has made', async () => {
    const held = hold('slow');
    const older = await begin({ steps: [run('slow')] });
    await held.begun.opened;
    const newer = await build({ steps: [run('quick')] });
    expect(newer.state).toBe('ready');
    held.finish.open();
    await follow(older.id);
    expect(await get(older.id)).toMatchObject({
      state: 'failed',
      error: 'a newer build of web is ready already',
    });
    expect((await api.ask<Snapshot>('GET', '/v1/snapshots/web')).body.id).toBe(newer.snapshot_id);
    expect(ended).not.toContain(newer.snapshot_id);
    // The next one is newer than both.
    const next = await build({ steps: [run('quick')] });
    expect((await api.ask<Snapshot>('GET', '/v1/snapshots/web')).body.id).toBe(next.snapshot_id);
  });

  test.each(['snapshot_corrupt', 'snapshot_incompatible', 'not_found'] as const)(
    'goes on after fewer steps when the layer after more of them is no good: %s',
    async (code) => {
      await build({ steps: [run('a'), run('b'), run('c')] });
      const layers = await team.templateBuilds.layers('web');
      [done, made] = [[], []];
      const bad = new Set(layers.map(({ snapshot_id }) => snapshot_id));
      const tried: string[] = [];
      plane.host.script({
        createSandbox: ({ id, generation, spec }) => {
          const from = spec?.snapshotId ?? '';
          tried.push(from);
          // The layer after the first step alone is whole.
          if (bad.has(from) && tried.length < 3) throw new DormouseError(code, 'page 7 is damaged');
          return { sandbox: { id, generation, state: SandboxState.RUNNING } };
        },
      });
      const { id } = await begin({ steps: [run('a'), run('b'), run('c')] });
      const log = await follow(id);
      expect(await get(id)).toMatchObject({ state: 'ready', step: 3, cached_steps: 1 });
      expect(tried).toHaveLength(3);
      expect(log.map(({ text }) => text).slice(0, 3)).toEqual([
        'steps 1 to 3 cannot be taken over: page 7 is damaged\n',
        'steps 1 to 2 cannot be taken over: page 7 is damaged\n',
        'steps 1 to 1: done before\n',
      ]);
      expect(done.map(({ command }) => command)).toEqual(['b', 'c']);
      expect((await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes')).body.sandboxes).toEqual([]);
      // What could not be taken over is replaced.
      expect(await ids()).toHaveLength(4);
    },
  );

  test('keeps its layers after an error that says nothing about them', async () => {
    await build({ steps: [run('a')] });
    const before = await ids();
    plane.host.script({
      createSandbox: () => {
        throw new DormouseError('no_capacity', 'no memory is left');
      },
    });
    expect(await build({ steps: [run('a')] })).toMatchObject({ state: 'failed', error: 'no memory is left' });
    expect(await ids()).toEqual(before);
  });

  test('hazard 5: that has made its template is ready, also when old layers cannot be removed or the answer is lost', async () => {
    await build({ steps: [run('a')] });
    const { store } = plane.services;
    for (const broken of ['layers', 'commit'] as const) {
      const { id } = await team.templateBuilds.insert({
        id: `tb${broken.padEnd(20, '0')}`,
        name: 'web',
        recipe: { name: 'web', steps: [] },
        from: 'base',
        stepCount: 0,
      });
      const forTeam = (teamId: string) => {
        const scope = store.forTeam(teamId);
        const { commit } = scope.snapshots;
        if (broken === 'layers') {
          scope.templateBuilds.layers = () => Promise.reject(new Error('the connection was lost'));
        } else {
          scope.snapshots.commit = async (...wanted) => {
            await commit.apply(scope.snapshots, wanted);
            throw new Error('the connection was lost');
          };
        }
        return scope;
      };
      const services = { ...plane.services, store: Object.create(store, { forTeam: { value: forTeam } }) };
      await runBuild(services, owner.teamId, id, new AbortController().signal);
      const built = await get(id);
      expect(built).toMatchObject({ state: 'ready', error: null });
      expect((await api.ask<Snapshot>('GET', '/v1/snapshots/web')).body.id).toBe(built.snapshot_id);
    }
    expect(await build({ steps: [run('a')] })).toMatchObject({ state: 'ready' });
  });

  test('that waits is cancelled at once, and one whose control plane has died by the next', async () => {
    const insert = (name: string) =>
      team.templateBuilds.insert({
        id: `tb${name.padEnd(20, '0')}`,
        name: 'web',
        recipe: { name: 'web', steps: [run('a')] },
        from: 'base',
        stepCount: 1,
      });
    const { id: waiting } = await insert('waiting');
    const { id: orphan } = await insert('orphan');
    await team.templateBuilds.claim(orphan, { token: 'dead', ms: 1 });
    for (const id of [waiting, orphan]) await api.post(`/v1/templates/builds/${id}/cancel`, {});
    expect(await get(waiting)).toMatchObject({ state: 'cancelled' });
    const never = new AbortController().signal;
    for (const id of [waiting, orphan]) await runBuild(plane.services, owner.teamId, id, never);
    expect(await get(orphan)).toMatchObject({ state: 'cancelled' });
    expect(made).toEqual([]);
  });

  test('leaves nothing of what it does over again', async () => {
    await build({ steps: [run('a'), run('b')] });
    expect(await build({ steps: [run('a'), run('b')], cache: false })).toMatchObject({ cached_steps: 0 });
    expect(await ids()).toHaveLength(3);
    expect(await build({ steps: [run('a'), run('b')] })).toMatchObject({ cached_steps: 2 });
  });

  test('hazard 16: leaves nothing when its template is deleted, also by somebody who died while deleting it', async () => {
    await build({ steps: [run('a'), run('b')] });
    expect(await ids()).toHaveLength(3);
    const [layer] = await team.templateBuilds.layers('web');
    await team.snapshots.beginDeleting(layer!.snapshot_id);
    await api.ask('DELETE', '/v1/snapshots/web');
    expect(await ids()).toEqual([]);
    expect(await build({ steps: [run('a')] })).toMatchObject({ state: 'ready', cached_steps: 0 });
  });

  test('is refused under a name that is another’s, from what is not there, and with steps that are none', async () => {
    const refused = (json: object) => api.refusal('POST', '/v1/templates', { name: 'web', ...json });
    expect(await refused({ from: 'nope' })).toMatchObject({ status: 404, code: 'not_found' });
    expect(await refused({ name: 'base' })).toEqual({
      status: 409,
      code: 'already_exists',
      message: 'base is the name of a template of the host. Choose another name.',
    });
    const { id } = await api.create();
    await api.snapshot({ sandbox_id: id, name: 'mine' });
    expect((await refused({ name: 'mine' })).message).toBe(
      'mine is the name of a snapshot that was not built. Choose another name.',
    );
    for (const step of [{ type: 'fetch' }, { type: 'run' }, { type: 'copy', path: 'here', content: '' }]) {
      expect(await refused({ steps: [step] })).toMatchObject({ status: 400, code: 'invalid_request' });
    }
  });
});

test('its log is there while it goes on', async () => {
  const held = hold('slow');
  const { id } = await begin({ steps: [run('quick'), run('slow')] });
  await held.begun.opened;
  const answer = await plane.request(`/v1/templates/builds/${id}/logs`, {
    headers: { 'x-api-key': owner.key },
  });
  expect(await answer.text()).toContain('did quick');
  expect(await get(id)).toMatchObject({ state: 'running', step: 1 });
  const following = follow(id);
  held.finish.open();
  expect((await following).at(-1)?.text).toBe('ready: web\n');
});

test('hazard 14: another team does not see a build or its log, nor use its layers', async () => {
  const { id } = await build({ steps: [run('a')] });
  const { key: strangerKey } = await plane.newTeam();
  const stranger = new ApiClient(plane, strangerKey);
  for (const name of [id, 'tbzzzzzzzzzzzzzzzzzzzz', '..%2fx']) {
    const missing = {
      status: 404,
      code: 'not_found',
      message: `there is no build ${decodeURIComponent(name)}`,
    };
    expect(await stranger.refusal('GET', `/v1/templates/builds/${name}`)).toEqual(missing);
    expect(await stranger.refusal('GET', `/v1/templates/builds/${name}/logs`)).toEqual(missing);
  }
  const { body } = await stranger.ask<TemplateBuildList>('GET', '/v1/templates/builds');
  expect(body.builds).toEqual([]);
  const own = (await stranger.post<TemplateBuild>('/v1/templates', { name: 'web', steps: [run('a')] })).body;
  await plane.services.store
    .forTeam(owner.teamId)
    .templateBuilds.log(own.id, [{ step: 0, stream: 'build', text: 'forged' }]);
  for (;;) {
    const now = (await stranger.ask<TemplateBuild>('GET', `/v1/templates/builds/${own.id}`)).body;
    if (now.state === 'ready') {
      expect(now.cached_steps).toBe(0);
      break;
    }
    await wait(50);
  }
  const theirs = await plane.services.store.forTeam(owner.teamId).templateBuilds.logs(own.id, '0', 10);
  expect(theirs).toEqual([]);
  const answer = await plane.request(`/v1/templates/builds/${own.id}/logs`, {
    headers: { 'x-api-key': strangerKey },
  });
  const said = await answer.text();
  expect(said).toContain('ready: web');
  expect(said).not.toContain('forged');
  expect(done.filter(({ command }) => command === 'a')).toHaveLength(2);
});

describe('hazards 4 and 9: a build whose control plane', () => {
  test('stops waits again, and another one goes on after what was done', async () => {
    const held = hold('slow');
    const { id } = await begin({ steps: [run('quick'), run('slow')] });
    await held.begun.opened;
    await worker.stop();
    expect(await get(id)).toMatchObject({ state: 'queued', step: 1 });
    expect(ended).toHaveLength(1);
    gates.clear();
    done = [];
    worker = await jobs.start(plane.services);
    await jobs.add(owner.teamId, id);
    await follow(id);
    expect(await get(id)).toMatchObject({ state: 'ready', step: 2, cached_steps: 1 });
    expect(done.map(({ command }) => command)).toEqual(['slow']);
    held.finish.open();
  });

  test('dies is done by another one when its lease is over, and what it made is not left', async () => {
    const orphan = await api.create();
    const { id } = await team.templateBuilds.insert({
      id: `tb${'dead'.padEnd(20, '0')}`,
      name: 'web',
      recipe: { name: 'web', steps: [run('a')] },
      from: 'base',
      stepCount: 1,
    });
    await team.templateBuilds.claim(id, { token: 'dead', ms: 60_000 });
    await team.templateBuilds.change(id, 'dead', { sandboxId: orphan.id });
    const never = new AbortController().signal;
    await runBuild(plane.services, owner.teamId, id, never);
    expect(await get(id)).toMatchObject({ state: 'running', step: 0 });
    await team.templateBuilds.renew(id, { token: 'dead', ms: 1 });
    await wait(5);
    await runBuild(plane.services, owner.teamId, id, never);
    expect(await get(id)).toMatchObject({ state: 'ready', step: 1 });
    expect(ended[0]).toBe(orphan.id);
    expect(await team.templateBuilds.change(id, 'dead', { step: 0 })).toBeUndefined();
  });

  test('cannot reach the host says so, and leaves no sandbox', async () => {
    plane.host.script({
      createSandbox: () => {
        throw new DormouseError('no_capacity', 'no memory is left');
      },
    });
    expect(await build({ steps: [run('a')] })).toMatchObject({ state: 'failed', error: 'no memory is left' });
    expect((await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes')).body.sandboxes).toEqual([]);
  });
});
