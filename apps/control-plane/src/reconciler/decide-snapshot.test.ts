import { expect, test } from 'vitest';
import type { Circumstances } from './decide.js';
import { decideSnapshot, type SnapshotRowView } from './decide-snapshot.js';

const ASKED = new Date('2026-01-01T13:00:00Z');
const NOW: Circumstances = { askedAt: ASKED, abandoned: false, inFlight: false };
const GONE: Circumstances = { ...NOW, abandoned: true };
const RECENT = new Date(ASKED.getTime() - 50_000);

const row = (state: SnapshotRowView['state'], changes: Partial<SnapshotRowView> = {}): SnapshotRowView => ({
  state,
  stateChangedAt: RECENT,
  ownBytes: 10,
  totalBytes: 20,
  ...changes,
});
const HOST = { ownBytes: 10, totalBytes: 20 };
const NOTHING = { action: 'nothing' };

test('hazard 4: one whose creator is gone is finished where the host has it, and given up where not', () => {
  const orphan = row('creating');
  expect(decideSnapshot(orphan, HOST, 'running', GONE)).toEqual({ action: 'finish_creating' });
  for (const state of ['running', 'paused', undefined] as const) {
    expect(decideSnapshot(orphan, undefined, state, GONE)).toEqual({ action: 'give_up' });
  }
});

test('one that may still be taken is waited for', () => {
  expect(decideSnapshot(row('creating'), undefined, 'running', NOW)).toEqual(NOTHING);
  expect(decideSnapshot(row('creating'), HOST, 'running', NOW)).toEqual(NOTHING);
  expect(decideSnapshot(row('creating'), undefined, 'snapshotting', GONE)).toEqual(NOTHING);
  expect(decideSnapshot(row('creating'), HOST, 'running', { ...GONE, inFlight: true })).toEqual(NOTHING);
});

test('hazard 16: what is to be deleted is deleted on the host, also when it comes after all', () => {
  expect(decideSnapshot(row('deleting'), HOST, 'running', NOW)).toEqual({ action: 'finish_deleting' });
  expect(decideSnapshot(row('deleting'), undefined, undefined, NOW)).toEqual({ action: 'finish_deleting' });
  expect(decideSnapshot(row('deleted'), HOST, 'running', NOW)).toEqual({ action: 'delete_on_host' });
  expect(decideSnapshot(row('deleted'), undefined, 'running', NOW)).toEqual(NOTHING);
});

test('hazard 5: one that is ready is never given up, and what is unknown is left alone', () => {
  expect(decideSnapshot(row('ready'), HOST, 'running', NOW)).toEqual(NOTHING);
  expect(decideSnapshot(row('ready'), undefined, undefined, NOW)).toEqual({ action: 'report_missing' });
  expect(decideSnapshot(row('ready', { ownBytes: 11 }), HOST, undefined, NOW)).toEqual({ action: 'resize' });
  expect(decideSnapshot(undefined, HOST, undefined, NOW)).toEqual({ action: 'leave_unknown' });
  expect(decideSnapshot(undefined, undefined, undefined, NOW)).toEqual(NOTHING);
});

test('a view that is older than the row decides nothing', () => {
  for (const state of ['creating', 'ready', 'deleting', 'deleted'] as const) {
    expect(decideSnapshot(row(state, { stateChangedAt: ASKED }), undefined, undefined, NOW)).toEqual(NOTHING);
  }
});
