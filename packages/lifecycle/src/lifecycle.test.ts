import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  assertFollow,
  assertMove,
  canFollow,
  canMove,
  FIRST_GENERATION,
  isFinal,
  isSandboxState,
  isTransitional,
  type LifecyclePosition,
  move,
  movesFrom,
  SANDBOX_STATES,
  type SandboxState,
  takesCommands,
} from './index.js';

/** Every legal move, written down a second time on purpose. */
const LEGAL = new Set([
  'pending>running',
  'pending>stopping',
  'pending>error',
  'running>snapshotting',
  'running>pausing',
  'running>stopping',
  'running>stopped',
  'snapshotting>running',
  'snapshotting>stopping',
  'snapshotting>stopped',
  'pausing>paused',
  'pausing>running',
  'pausing>stopping',
  'pausing>stopped',
  'paused>resuming',
  'paused>stopping',
  'resuming>running',
  'resuming>paused',
  'resuming>stopping',
  'stopping>stopped',
]);

const state = fc.constantFrom(...SANDBOX_STATES);

describe.each(SANDBOX_STATES)('from %s', (from) => {
  test.each(SANDBOX_STATES)('to %s', (to) => {
    const legal = LEGAL.has(`${from}>${to}`);
    expect(canMove(from, to)).toBe(legal);
    expect(movesFrom(from).includes(to)).toBe(legal);
    if (legal) expect(() => assertMove(from, to)).not.toThrow();
    else expect(() => assertMove(from, to)).toThrow(`a sandbox that is ${from} cannot become ${to}`);
  });
});

test('a refused move is an invalid_state', () => {
  expect(() => move({ state: 'stopped', generation: 3 }, 'running')).toThrow(
    expect.objectContaining({ code: 'invalid_state' }),
  );
});

test('final states lead nowhere, and everything else can be destroyed', () => {
  expect(SANDBOX_STATES.filter(isFinal)).toEqual(['stopped', 'error']);
  for (const from of SANDBOX_STATES) {
    if (isFinal(from)) expect(movesFrom(from)).toEqual([]);
    else if (from !== 'stopping') expect(canMove(from, 'stopping')).toBe(true);
  }
});

test('which states wait for work and which take commands', () => {
  expect(SANDBOX_STATES.filter(isTransitional)).toEqual([
    'pending',
    'snapshotting',
    'pausing',
    'resuming',
    'stopping',
  ]);
  expect(SANDBOX_STATES.filter(takesCommands)).toEqual(['running', 'snapshotting']);
});

test('hazard 5: a failing pause, snapshot or resume has a way back that loses nothing', () => {
  expect(canMove('pausing', 'running')).toBe(true);
  expect(canMove('snapshotting', 'running')).toBe(true);
  expect(canMove('resuming', 'paused')).toBe(true);
  expect(canMove('resuming', 'stopped')).toBe(false);
  expect(canMove('paused', 'stopped')).toBe(false);
});

test('states are recognised exactly', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(isSandboxState(text)).toBe((SANDBOX_STATES as readonly string[]).includes(text));
    }),
  );
});

test('any walk keeps to legal moves, never lowers the generation and raises it exactly at each resume', () => {
  fc.assert(
    fc.property(fc.array(state, { maxLength: 60 }), (wishes) => {
      let at: LifecyclePosition = { state: 'pending', generation: FIRST_GENERATION };
      let resumes = 0;
      const seen: SandboxState[] = [at.state];
      for (const wish of wishes) {
        if (!canMove(at.state, wish)) {
          expect(() => move(at, wish)).toThrow();
          continue;
        }
        at = move(at, wish);
        if (wish === 'resuming') resumes++;
        expect(at).toEqual({ state: wish, generation: FIRST_GENERATION + resumes });
        seen.push(wish);
      }
      expect(seen.filter(isFinal).length).toBeLessThanOrEqual(1);
      expect(seen.indexOf('pending')).toBe(0);
      expect(seen.lastIndexOf('pending')).toBe(0);
    }),
  );
});

test('a host is followed along moves that nobody recorded, never back', () => {
  const at = (state: SandboxState, generation = 1): LifecyclePosition => ({ state, generation });
  expect(canFollow(at('running'), at('paused'))).toBe(true);
  expect(canFollow(at('running'), at('running', 2))).toBe(true);
  expect(canFollow(at('running'), at('resuming', 7))).toBe(true);
  expect(canFollow(at('paused'), at('running', 2))).toBe(true);
  expect(canFollow(at('snapshotting'), at('paused'))).toBe(true);
  expect(canFollow(at('pending'), at('paused'))).toBe(true);
  // The number of a resume that failed is taken by the next one.
  expect(canFollow(at('paused', 2), at('running', 2))).toBe(true);
  expect(canFollow(at('paused', 2), at('running', 1))).toBe(false);
  expect(canFollow(at('running', 2), at('running', 1))).toBe(false);
  expect(canFollow(at('stopped'), at('running', 2))).toBe(false);
  expect(canFollow(at('stopping'), at('running', 2))).toBe(false);
  expect(canFollow(at('running'), at('pending', 2))).toBe(false);
  expect(() => assertFollow(at('running', 2), at('running'))).toThrow(
    'a sandbox that is running in generation 2 cannot have become running in generation 1',
  );
});

test('every walk of legal moves can be followed in one step', () => {
  fc.assert(
    fc.property(state, fc.array(state, { maxLength: 40 }), (start, wishes) => {
      const from: LifecyclePosition = { state: start, generation: 3 };
      let at = from;
      for (const wish of wishes) if (canMove(at.state, wish)) at = move(at, wish);
      expect(canFollow(from, at)).toBe(true);
    }),
  );
});
