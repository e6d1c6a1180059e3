import { SANDBOX_STATES } from '@dormouse/lifecycle';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ABANDONED_AFTER_MS, type Circumstances, decide, type HostView, type RowView } from './decide.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';
const PROCESS_START = new Date('2026-01-01T12:00:00Z');
const ASKED = new Date('2026-01-01T13:00:00Z');
const NOW: Circumstances = { askedAt: ASKED, processStartedAt: PROCESS_START, inFlight: false };
const before = (date: Date, ms = 1000) => new Date(date.getTime() - ms);

const row = (changes: Partial<RowView> = {}): RowView => ({
  id: ID,
  state: 'running',
  generation: 1,
  createdAt: before(ASKED, 60_000),
  stateChangedAt: before(ASKED, 50_000),
  lastActiveAt: before(ASKED, 5_000),
  deleted: false,
  ...changes,
});
const host = (changes: Partial<HostView> = {}): HostView => ({
  id: ID,
  generation: 1,
  state: 'running',
  reason: '',
  startedAt: before(ASKED, 55_000),
  lastActiveAt: before(ASKED, 5_000),
  ...changes,
});

describe('hazard 9: a running sandbox', () => {
  test('that runs is left alone', () => {
    expect(decide(row(), host(), NOW)).toEqual({ action: 'nothing' });
  });

  test('whose VM ended is recorded as stopped, with the reason', () => {
    expect(decide(row(), host({ state: 'stopped', reason: 'kernel panic' }), NOW)).toEqual({
      action: 'record_stopped',
      reason: 'its virtual machine ended: kernel panic',
    });
    expect(decide(row(), host({ state: 'stopped' }), NOW)).toEqual({
      action: 'record_stopped',
      reason: 'its virtual machine ended',
    });
    expect(decide(row(), undefined, NOW)).toEqual({
      action: 'record_stopped',
      reason: 'the host no longer has it',
    });
  });

  test('that was active is touched, coarsely', () => {
    const lastActiveAt = new Date(row().lastActiveAt!.getTime() + 10_000);
    expect(decide(row(), host({ lastActiveAt }), NOW)).toEqual({ action: 'touch', lastActiveAt });
    expect(decide(row(), host({ lastActiveAt: before(lastActiveAt, 1) }), NOW)).toEqual({
      action: 'nothing',
    });
    expect(decide(row({ lastActiveAt: null }), host({ lastActiveAt }), NOW).action).toBe('touch');
  });
});

describe('hazard 9: a pending sandbox', () => {
  const pending = (changes: Partial<RowView> = {}) => row({ state: 'pending', ...changes });
  const orphan = pending({ createdAt: before(PROCESS_START), stateChangedAt: before(PROCESS_START) });

  test('that the host runs is adopted', () => {
    const { startedAt, lastActiveAt } = host();
    expect(decide(orphan, host(), NOW)).toEqual({ action: 'adopt', startedAt, lastActiveAt });
  });

  test('that the host still boots is waited for', () => {
    expect(decide(orphan, host({ state: 'pending' }), NOW)).toEqual({ action: 'nothing' });
  });

  test('that lost its creator and was never made ends as an error', () => {
    const reason = 'its creation was interrupted';
    expect(decide(orphan, undefined, NOW)).toEqual({ action: 'record_error', reason });
    expect(decide(orphan, host({ state: 'stopped', reason: 'no boot' }), NOW)).toEqual({
      action: 'record_error',
      reason: `${reason}: no boot`,
    });
    const old = pending({ createdAt: before(ASKED, ABANDONED_AFTER_MS + 1) });
    expect(decide(old, undefined, { ...NOW, processStartedAt: new Date(0) })).toEqual({
      action: 'record_error',
      reason,
    });
  });

  test('that another control plane may be making is left alone', () => {
    expect(decide(pending(), undefined, NOW)).toEqual({ action: 'nothing' });
  });
});

test('what was to be stopped is stopped, whatever the host says', () => {
  const stopping = row({ state: 'stopping' });
  for (const view of [undefined, host(), host({ state: 'stopped' }), host({ generation: 7 })]) {
    expect(decide(stopping, view, NOW)).toEqual({ action: 'finish_stopping' });
  }
});

test('hazard 5: what the database has never heard of is left alone', () => {
  expect(decide(undefined, host(), NOW)).toEqual({ action: 'leave_unknown' });
  expect(decide(undefined, host({ state: 'stopped' }), NOW)).toEqual({ action: 'leave_unknown' });
  expect(decide(undefined, undefined, NOW)).toEqual({ action: 'nothing' });
});

test('hazard 5: what has ended by itself keeps its disk until somebody deletes it', () => {
  const ended = row({ state: 'stopped' });
  expect(decide(ended, host({ state: 'stopped' }), NOW)).toEqual({ action: 'nothing' });
  expect(decide({ ...ended, deleted: true }, host({ state: 'stopped' }), NOW)).toEqual({
    action: 'destroy_on_host',
  });
});

test('hazard 16: what a failed creation has left on the host is destroyed', () => {
  expect(decide(row({ state: 'error' }), host(), NOW)).toEqual({ action: 'destroy_on_host' });
  expect(decide(row({ state: 'error' }), undefined, NOW)).toEqual({ action: 'nothing' });
});

const anyRow = fc.option(
  fc.record({
    id: fc.constant(ID),
    state: fc.constantFrom(...SANDBOX_STATES),
    generation: fc.integer({ min: 1, max: 3 }),
    createdAt: fc.date({ noInvalidDate: true }),
    stateChangedAt: fc.date({ noInvalidDate: true }),
    lastActiveAt: fc.option(fc.date({ noInvalidDate: true })),
    deleted: fc.boolean(),
  }),
  { nil: undefined },
);
const anyHost = fc.option(
  fc.record({
    id: fc.constant(ID),
    generation: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom('pending' as const, 'running' as const, 'stopping' as const, 'stopped' as const),
    reason: fc.string(),
    startedAt: fc.date({ noInvalidDate: true }),
    lastActiveAt: fc.date({ noInvalidDate: true }),
  }),
  { nil: undefined },
);

test('hazard 8: what is in flight is never touched', () => {
  fc.assert(
    fc.property(anyRow, anyHost, (some, view) => {
      expect(decide(some, view, { ...NOW, inFlight: true })).toEqual({ action: 'nothing' });
    }),
  );
});

test('a view that is older than the row decides nothing', () => {
  fc.assert(
    fc.property(anyRow, anyHost, (some, view) => {
      if (some === undefined || some.stateChangedAt < ASKED) return;
      expect(decide(some, view, NOW)).toEqual({ action: 'nothing' });
    }),
  );
});

test('a report about another generation never stops or adopts a sandbox', () => {
  fc.assert(
    fc.property(anyRow, anyHost, (some, view) => {
      if (some === undefined || view === undefined || some.generation === view.generation) return;
      if (some.deleted) return;
      expect(['nothing', 'finish_stopping']).toContain(decide(some, view, NOW).action);
    }),
  );
});

test('a running VM of a wanted sandbox is never destroyed', () => {
  fc.assert(
    fc.property(anyRow, anyHost, (some, view) => {
      if (some === undefined || some.deleted || some.state === 'error') return;
      const { action } = decide(some, view, NOW);
      expect(action).not.toBe('destroy_on_host');
      if (action === 'finish_stopping') expect(some.state).toBe('stopping');
    }),
  );
});
