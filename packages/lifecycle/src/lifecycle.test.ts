import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  assertMove,
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
