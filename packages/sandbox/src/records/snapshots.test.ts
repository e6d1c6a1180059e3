import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sandboxId, specOf } from '../testing/journals.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { type Snapshot, Snapshots } from './snapshots.js';

function snapshotOf(name: string): Snapshot {
  const id = `sn${name.padStart(20, '0')}`;
  const spec = specOf(sandboxId('a'));
  const generationId = `gn${name.padStart(26, '0')}`;
  const createdAtMs = 1_767_323_045_678;
  return { version: 1, id, generationId, kind: 'full', spec, sandboxId: sandboxId('a'), createdAtMs };
}

test('snapshots are there again after a restart, for nobody else to read', async () => {
  await using dir = await temporaryDirectory();
  const snapshots = await Snapshots.open(dir.path);
  const [first, second] = [snapshotOf('a'), { ...snapshotOf('b'), parentId: snapshotOf('a').id }];
  await snapshots.put(first);
  await snapshots.put(second);
  const again = await Snapshots.open(dir.path);
  expect(again.list().toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([first, second]);
  expect(again.get(second.id)).toEqual(second);
  expect((await stat(join(dir.path, `${first.id}.json`))).mode & 0o777).toBe(0o600);
});

test('one that was removed stays away, and removing it again is fine', async () => {
  await using dir = await temporaryDirectory();
  const snapshots = await Snapshots.open(dir.path);
  const snapshot = snapshotOf('a');
  await snapshots.put(snapshot);
  await snapshots.remove(snapshot.id);
  await snapshots.remove(snapshot.id);
  expect(snapshots.find(snapshot.id)).toBeUndefined();
  expect(() => snapshots.get(snapshot.id)).toThrow(`there is no snapshot '${snapshot.id}' on this host`);
  expect(await readdir(dir.path)).toEqual([]);
});

test('hazard 14: an id that is none becomes no path', async () => {
  await using dir = await temporaryDirectory();
  const snapshots = await Snapshots.open(dir.path);
  const id = '../sn00000000000000000000';
  await expect(snapshots.put({ ...snapshotOf('a'), id })).rejects.toMatchObject({
    code: 'invalid_request',
    message: `'${id}' is no snapshot id`,
  });
  await snapshots.remove(id);
});

test('hazard 5: a record that cannot be read stops the host, which would collect what it keeps', async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, `${snapshotOf('a').id}.json`);
  await writeFile(path, '{"version":1');
  await expect(Snapshots.open(dir.path)).rejects.toMatchObject({
    code: 'snapshot_corrupt',
    message: `the record ${path} cannot be understood`,
  });
});
