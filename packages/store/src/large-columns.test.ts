import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmbeddedPostgres, Store, startEmbeddedPostgres, type TeamScope } from './index.js';

/** As long as an environment may be, and found in whatever was read with it. */
const LARGE = 'squeamish '.repeat(46_000);
const LEASE = { token: 'lease', ms: 60_000 };
const PAGE = { limit: 10 };
const SIZE = { vcpus: 1, memoryMb: 128, diskMb: 1024 };
const IDS = {
  sandbox: 'sb00000000000000000001',
  snapshot: 'sn00000000000000000001',
  project: 'pj00000000000000000001',
  build: 'tb00000000000000000001',
};

let dir: string;
let database: EmbeddedPostgres;
let store: Store;
let team: TeamScope;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-store-'));
  await chmod(dir, 0o711);
  database = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
  store = await Store.open({ databaseUrl: database.databaseUrl });
  const access = { email: 'a@example.org', teamName: 't', keyName: 'k', lookup: 'a'.repeat(8) };
  team = store.forTeam(await store.system.ensureLocalAccess({ ...access, hash: 'a'.repeat(64) }));
  const host = { id: 'host-1', agentVersion: '1', accelerator: 'tcg', cpuCount: 1, memoryTotalMb: 1 };
  await store.system.upsertHost(host);
  const envs = { LARGE };
  const policy = { timeoutSec: 0, onTimeout: 'pause', onMemoryLoss: 'reboot', internet: true } as const;
  const origin = { template: 'base', imageId: 'img-1', metadata: {}, hostId: 'host-1', envs };
  await team.sandboxes.insert({ id: IDS.sandbox, ...origin, ...SIZE, ...policy });
  const row = await team.snapshots.insert({
    id: IDS.snapshot,
    name: 'kept',
    overwrite: false,
    sandboxId: IDS.sandbox,
    template: 'base',
    imageId: 'img-1',
    ...SIZE,
    diskOnly: false,
    description: null,
    parentId: null,
    envs,
  });
  await team.snapshots.commit(row, { ownBytes: 1, totalBytes: 1, diskOnly: false });
  await team.projects.insert({
    id: IDS.project,
    name: 'p',
    template: 'base',
    keepLast: 1,
    workspace: '/',
    vcpus: null,
    memoryMb: null,
    timeoutSec: 0,
    internet: true,
    envs,
    metadata: {},
  });
  const recipe = { name: 'web', from: 'base', steps: [{ type: 'copy', path: '/a', content: LARGE }] };
  await team.templateBuilds.insert({ id: IDS.build, name: 'web', recipe, from: 'base', stepCount: 1 });
}, 60_000);
afterAll(async () => {
  await store?.close();
  await database?.stop();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

test.each<[string, () => Promise<unknown>]>([
  ['the reconciler’s sandboxes', () => store.system.sandboxesToReconcile([])],
  ['the reconciler’s snapshots', () => store.system.snapshots.toReconcile([])],
  ['a list of sandboxes', () => team.sandboxes.list(PAGE)],
  ['a sandbox', () => team.sandboxes.get(IDS.sandbox)],
  ['a list of snapshots', () => team.snapshots.list(PAGE)],
  ['a snapshot', () => team.snapshots.get('kept')],
  ['ancestors', async () => [...(await team.snapshots.ancestors([IDS.snapshot]))]],
  ['a list of projects', () => team.projects.list(PAGE)],
  ['a project', () => team.projects.claim(IDS.project, LEASE)],
  ['a list of builds', () => team.templateBuilds.list(PAGE)],
  ['a build, which followers of its log look at all the time', () => team.templateBuilds.get(IDS.build)],
  [
    'a move',
    async () => {
      const from = (await team.sandboxes.get(IDS.sandbox))!;
      return team.sandboxes.transition({ id: from.id, from, to: 'running' });
    },
  ],
])('no large column is read for %s', async (_what, read) => {
  const text = JSON.stringify(await read());
  expect(text).toContain('0000000000000000');
  expect(text).not.toContain('squeamish');
});

test('large columns are there for who needs them', async () => {
  expect(await team.sandboxes.envsOf(IDS.sandbox)).toEqual({ LARGE });
  expect(await team.snapshots.envsOf(IDS.snapshot)).toEqual({ LARGE });
  expect(await team.projects.envsOf(IDS.project)).toEqual({ LARGE });
  expect((await team.templateBuilds.claim(IDS.build, LEASE))?.recipe).toMatchObject({ from: 'base' });
});

test('hazard 14: nor for another team', async () => {
  const other = store.forTeam('00000000-0000-4000-8000-000000000000');
  expect(await other.sandboxes.envsOf(IDS.sandbox)).toBeUndefined();
  expect(await other.snapshots.envsOf(IDS.snapshot)).toEqual({});
  expect(await other.projects.envsOf(IDS.project)).toEqual({});
  expect(await other.templateBuilds.claim(IDS.build, LEASE)).toBeUndefined();
});
