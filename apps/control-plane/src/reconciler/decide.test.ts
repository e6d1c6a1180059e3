import { canFollow, SANDBOX_STATES, type SandboxState } from '@dormouse/lifecycle';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Circumstances,
  type Decision,
  decide,
  type HostView,
  LOST_BY_HOST,
  type RowView,
} from './decide.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';
const ASKED = new Date('2026-01-01T13:00:00Z');
const NOW: Circumstances = { askedAt: ASKED, abandoned: false, inFlight: false };
/** Nobody is at work on it any more. */
const GONE: Circumstances = { ...NOW, abandoned: true };
const before = (date: Date, ms = 1000) => new Date(date.getTime() - ms);

const row = (changes: Partial<RowView> = {}): RowView => ({
  id: ID,
  state: 'running',
  generation: 1,
  createdAt: before(ASKED, 60_000),
  stateChangedAt: before(ASKED, 50_000),
  lastActiveAt: before(ASKED, 5_000),
  reason: null,
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
  pausedAt: before(ASKED, 4_000),
  resumedBy: null,
  pauseCause: null,
  ...changes,
});
const HOST_STATES = SANDBOX_STATES.filter((state) => state !== 'error');
const NOTHING: Decision = { action: 'nothing' };
/** @param told by the host itself, because nobody had asked for it */
const follow = (
  to: 'running' | 'paused' | 'resuming',
  generation = 1,
  reason: string | null = null,
  told = true,
) => ({ action: 'follow', to, generation, reason, told }) as const;

describe('hazard 9: a running sandbox', () => {
  test('that runs is left alone', () => {
    expect(decide(row(), host(), NOW)).toEqual({ action: 'nothing' });
  });

  test('whose VM ended is recorded as stopped, with the reason', () => {
    expect(decide(row(), host({ state: 'stopped', reason: 'kernel panic' }), NOW)).toEqual({
      action: 'record_stopped',
      reason: 'its virtual machine ended: kernel panic',
      told: true,
    });
    expect(decide(row(), host({ state: 'stopped' }), NOW)).toEqual({
      action: 'record_stopped',
      reason: 'its virtual machine ended',
      told: true,
    });
    expect(decide(row(), undefined, NOW)).toEqual({
      action: 'record_stopped',
      reason: 'the host no longer has it',
      told: false,
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
  test('that the host runs is adopted when its creator is gone', () => {
    const { startedAt, lastActiveAt } = host();
    expect(decide(pending(), host(), GONE)).toEqual({ action: 'adopt', startedAt, lastActiveAt });
  });

  test('that the host still boots is waited for', () => {
    expect(decide(pending(), host({ state: 'pending' }), GONE)).toEqual({ action: 'nothing' });
  });

  test('that lost its creator and was never made ends as an error', () => {
    const reason = 'its creation was interrupted';
    expect(decide(pending(), undefined, GONE)).toEqual({ action: 'record_error', reason });
    expect(decide(pending(), host({ state: 'stopped', reason: 'no boot' }), GONE)).toEqual({
      action: 'record_error',
      reason: `${reason}: no boot`,
    });
  });

  test('hazard 8: that another control plane is making is left alone, wherever the host has it', () => {
    for (const generation of [1, 2]) {
      for (const view of [undefined, ...HOST_STATES.map((state) => host({ state, generation }))]) {
        expect(decide(pending(), view, NOW)).toEqual({ action: 'nothing' });
      }
    }
  });
});

/** What is decided for a row in a state when the host has it in each of its states, in the same generation. */
function decisions(
  state: SandboxState,
  circumstances: Circumstances = NOW,
  changes: Partial<HostView> = {},
): Record<string, Decision> {
  const some = row({ state });
  return Object.fromEntries([
    ...HOST_STATES.map((at) => [at, decide(some, host({ state: at, ...changes }), circumstances)]),
    ['nowhere', decide(some, undefined, circumstances)],
  ]);
}

const LOST: Decision = { action: 'record_stopped', reason: LOST_BY_HOST, told: false };
const ENDED: Decision = { action: 'record_stopped', reason: 'its virtual machine ended', told: true };
describe('every pair of states in the same generation', () => {
  test.each(['running', 'snapshotting'] as const)('hazard 22: %s, when the host has paused it', (state) => {
    const expected = {
      pending: NOTHING,
      running: NOTHING,
      snapshotting: NOTHING,
      pausing: NOTHING,
      paused: follow('paused', 1, null, false),
      resuming: NOTHING,
      stopping: NOTHING,
      stopped: ENDED,
      nowhere: LOST,
    };
    expect(decisions(state)).toEqual(expected);
    const gone = state === 'running' ? expected : { ...expected, running: follow('running') };
    expect(decisions(state, GONE)).toEqual(gone);
    for (const pauseCause of ['timeout', 'shutdown', 'vm_ended'] as const) {
      expect(decisions(state, NOW, { pauseCause })).toEqual({ ...expected, paused: follow('paused') });
    }
  });

  test('hazard 22: pausing is what was asked for, unless the host says that it has timed out', () => {
    const expected = {
      pending: NOTHING,
      running: NOTHING,
      snapshotting: NOTHING,
      pausing: NOTHING,
      paused: follow('paused', 1, null, false),
      resuming: NOTHING,
      stopping: NOTHING,
      stopped: ENDED,
      nowhere: LOST,
    };
    expect(decisions('pausing')).toEqual(expected);
    expect(decisions('pausing', GONE)).toEqual({ ...expected, running: follow('running', 1, null, false) });
    for (const pauseCause of ['timeout', 'shutdown', 'vm_ended'] as const) {
      expect(decisions('pausing', NOW, { pauseCause })).toEqual({ ...expected, paused: follow('paused') });
    }
  });

  test('hazard 9: paused, when a resume that was given up has come about after all, which nobody else tells', () => {
    const expected = {
      pending: NOTHING,
      running: follow('running', 1, null, false),
      snapshotting: follow('running', 1, null, false),
      pausing: NOTHING,
      paused: NOTHING,
      resuming: follow('resuming', 1, null, false),
      stopping: NOTHING,
      stopped: ENDED,
      nowhere: { action: 'note', reason: LOST_BY_HOST },
    };
    expect(decisions('paused')).toEqual(expected);
    expect(decisions('paused', GONE, { pauseCause: 'timeout' })).toEqual(expected);
  });

  test('resuming', () => {
    const expected = {
      pending: NOTHING,
      running: follow('running', 1, null, false),
      snapshotting: follow('running', 1, null, false),
      pausing: NOTHING,
      paused: NOTHING,
      resuming: NOTHING,
      stopping: NOTHING,
      stopped: ENDED,
      nowhere: NOTHING,
    };
    expect(decisions('resuming')).toEqual(expected);
    expect(decisions('resuming', GONE)).toEqual({
      ...expected,
      paused: follow('paused', 1, null, false),
      nowhere: follow('paused', 1, LOST_BY_HOST, false),
    });
  });

  test('pending', () => {
    const { startedAt, lastActiveAt } = host();
    const adopt = { action: 'adopt', startedAt, lastActiveAt };
    const interrupted = { action: 'record_error', reason: 'its creation was interrupted' };
    const expected = {
      pending: NOTHING,
      running: adopt,
      snapshotting: adopt,
      pausing: NOTHING,
      paused: follow('paused', 1, null, false),
      resuming: follow('resuming'),
      stopping: NOTHING,
      stopped: NOTHING,
      nowhere: NOTHING,
    };
    for (const decision of Object.values(decisions('pending'))) expect(decision).toEqual(NOTHING);
    expect(decisions('pending', GONE)).toEqual({
      ...expected,
      stopping: interrupted,
      stopped: interrupted,
      nowhere: interrupted,
    });
  });

  test('stopping, stopped and error', () => {
    const everywhere = (decision: Decision) =>
      Object.fromEntries([...HOST_STATES, 'nowhere'].map((at) => [at, decision]));
    for (const circumstances of [NOW, GONE]) {
      expect(decisions('stopping', circumstances)).toEqual(everywhere({ action: 'finish_stopping' }));
      expect(decisions('stopped', circumstances)).toEqual(everywhere(NOTHING));
      expect(decisions('error', circumstances)).toEqual({
        ...everywhere({ action: 'destroy_on_host' }),
        nowhere: NOTHING,
      });
    }
  });
});

describe('hazard 9: a host that has paused and resumed by itself', () => {
  test('is followed into the generation it has begun', () => {
    for (const state of ['running', 'paused', 'pausing', 'snapshotting', 'resuming'] as const) {
      const some = row({ state });
      const told = state !== 'pausing' && state !== 'resuming';
      const to = (at: 'running' | 'paused' | 'resuming', generation: number) =>
        follow(at, generation, null, told);
      expect(decide(some, host({ generation: 2 }), NOW)).toEqual(to('running', 2));
      expect(decide(some, host({ generation: 3, state: 'snapshotting' }), NOW)).toEqual(to('running', 3));
      expect(decide(some, host({ generation: 2, state: 'resuming' }), NOW)).toEqual(to('resuming', 2));
      expect(decide(some, host({ generation: 2, state: 'paused' }), NOW)).toEqual(
        follow('paused', 2, null, false),
      );
      expect(decide(some, host({ generation: 2, state: 'pausing' }), NOW)).toEqual(NOTHING);
    }
  });

  test('says why it is where it is', () => {
    const view = host({ generation: 2, resumedBy: 'reboot', reason: 'its memory was lost' });
    expect(decide(row({ state: 'paused' }), view, NOW)).toEqual(follow('running', 2, 'its memory was lost'));
  });

  test('and a row that is ahead of it waits, or goes back when nobody is at work on it', () => {
    const ahead = row({ state: 'resuming', generation: 2 });
    expect(decide(ahead, host({ state: 'paused' }), NOW)).toEqual(NOTHING);
    expect(decide(ahead, host({ state: 'paused' }), GONE)).toEqual(follow('paused', 2, null, false));
    expect(decide(row({ generation: 2 }), host({ state: 'stopped' }), NOW)).toEqual(NOTHING);
    expect(decide(row({ generation: 2 }), host({ state: 'paused' }), NOW)).toEqual(NOTHING);
    expect(decide(row({ state: 'paused', generation: 2 }), host(), NOW)).toEqual(NOTHING);
  });
});

test('hazard 5: a paused sandbox that the host does not have is kept, and is said to be lost until it is back', () => {
  const lost = row({ state: 'paused', reason: LOST_BY_HOST });
  expect(decide(lost, undefined, NOW)).toEqual(NOTHING);
  expect(decide(lost, host({ state: 'paused' }), NOW)).toEqual({ action: 'note', reason: null });
  expect(decide(lost, host({ state: 'running', generation: 2 }), NOW)).toEqual(follow('running', 2));
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
    reason: fc.option(fc.constantFrom(LOST_BY_HOST, 'something')),
    deleted: fc.boolean(),
  }),
  { nil: undefined },
);
const anyHost = fc.option(
  fc.record({
    id: fc.constant(ID),
    generation: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom(...HOST_STATES),
    reason: fc.string(),
    startedAt: fc.date({ noInvalidDate: true }),
    lastActiveAt: fc.date({ noInvalidDate: true }),
    pausedAt: fc.date({ noInvalidDate: true }),
    resumedBy: fc.constantFrom('memory' as const, 'reboot' as const, null),
    pauseCause: fc.constantFrom('timeout' as const, 'shutdown' as const, 'vm_ended' as const, null),
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

test('hazard 9: a report of an earlier generation never changes a later row', () => {
  fc.assert(
    fc.property(anyRow, anyHost, (some, view) => {
      if (some === undefined || view === undefined || some.generation <= view.generation) return;
      if (some.deleted || some.state === 'error') return;
      const decision = decide(some, view, NOW);
      // A resume that the host has never begun goes back to where it came from; a note changes no state.
      if (some.state === 'resuming' && decision.action === 'follow') {
        expect(decision).toEqual(follow('paused', some.generation, null, false));
      } else {
        expect(['nothing', 'finish_stopping', 'note']).toContain(decision.action);
      }
    }),
  );
});

test('whatever is followed is where legal moves lead, in a generation that is not lower', () => {
  fc.assert(
    fc.property(anyRow, anyHost, (some, view) => {
      if (some === undefined) return;
      const decision = decide(some, view, NOW);
      if (decision.action === 'follow') {
        expect(canFollow(some, { state: decision.to, generation: decision.generation })).toBe(true);
      }
      if (decision.action === 'record_stopped') {
        expect(canFollow(some, { state: 'stopped', generation: some.generation })).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});

test('hazard 5: what is paused is never ended because the host does not list it', () => {
  fc.assert(
    fc.property(anyRow, (some) => {
      if (some === undefined || some.deleted || !['paused', 'resuming'].includes(some.state)) return;
      const decision = decide(some, undefined, NOW);
      expect(['nothing', 'note', 'follow']).toContain(decision.action);
      if (decision.action === 'follow') expect(decision.to).toBe('paused');
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
