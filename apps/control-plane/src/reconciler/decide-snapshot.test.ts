import { expect, test } from 'vitest';
import { ABANDONED_AFTER_MS, type Circumstances } from './decide.js';
import { decideSnapshot, type SnapshotRowView } from './decide-snapshot.js';

const PROCESS_START = new Date('2026-01-01T12:00:00Z');
const ASKED = new Date('2026-01-01T13:00:00Z');
const NOW: Circumstances = { askedAt: ASKED, processStartedAt: PROCESS_START, inFlight: false };
const RECENT = new Date(ASKED.getTime() - 50_000);
const BEFORE_US = new Date(PROCESS_START.getTime() - 1);

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
  const orphan = row('creating', { stateChangedAt: BEFORE_US });
  expect(decideSnapshot(orphan, HOST, 'running', NOW)).toEqual({ action: 'finish_creating' });
  expect(decideSnapshot(orphan, undefined, 'running', NOW)).toEqual({ action: 'give_up' });
  expect(decideSnapshot(orphan, undefined, undefined, NOW)).toEqual({ action: 'give_up' });
  const old = row('creating', { stateChangedAt: new Date(ASKED.getTime() - ABANDONED_AFTER_MS - 1) });
  const elsewhere = { ...NOW, processStartedAt: new Date(0) };
  expect(decideSnapshot(old, undefined, 'paused', elsewhere)).toEqual({ action: 'give_up' });
});

test('one that may still be taken is waited for', () => {
  expect(decideSnapshot(row('creating'), undefined, 'running', NOW)).toEqual(NOTHING);
  expect(decideSnapshot(row('creating'), HOST, 'running', NOW)).toEqual(NOTHING);
  const orphan = row('creating', { stateChangedAt: BEFORE_US });
  expect(decideSnapshot(orphan, undefined, 'snapshotting', NOW)).toEqual(NOTHING);
  expect(decideSnapshot(orphan, HOST, 'running', { ...NOW, inFlight: true })).toEqual(NOTHING);
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
