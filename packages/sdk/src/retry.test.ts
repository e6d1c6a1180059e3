import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_RETRIES, mayHaveActed, retryDelayMs } from './retry.js';

const first = { retries: 0, replayable: true };
const refused = { kind: 'refused' } as const;
const broken = { kind: 'broken' } as const;
const answer = (status: number, retryAfter: string | null = null, notBegun = false) =>
  ({ kind: 'answer', status, retryAfter, notBegun }) as const;

test('a refused connection is tried again whatever the method, with growing pauses', () => {
  expect(retryDelayMs({ ...first, method: 'POST' }, refused, 1)).toBe(100);
  expect(retryDelayMs({ ...first, method: 'POST', retries: 2 }, refused, 1)).toBe(400);
  expect(retryDelayMs({ ...first, method: 'POST', retries: MAX_RETRIES }, refused, 1)).toBeUndefined();
});

test('nothing can happen twice: a POST is never repeated after the server may have acted', () => {
  const failure = fc.oneof(
    fc.constant(broken),
    fc
      .tuple(fc.integer({ min: 400, max: 599 }), fc.option(fc.constantFrom('0', '2', 'soon')))
      .map(([status, retryAfter]) => answer(status, retryAfter)),
  );
  fc.assert(
    fc.property(fc.constantFrom('POST', 'PUT', 'PATCH'), failure, fc.nat(3), (method, how, retries) => {
      expect(retryDelayMs({ method, retries, replayable: true }, how, 0.5)).toBeUndefined();
    }),
  );
});

test('GET and DELETE are tried again after broken connections and 502, 503, 504, not after other errors', () => {
  for (const method of ['GET', 'DELETE']) {
    for (const how of [broken, answer(502), answer(503), answer(504), answer(429)]) {
      expect(retryDelayMs({ ...first, method }, how, 1)).toBe(100);
    }
    for (const status of [400, 401, 404, 409, 500]) {
      expect(retryDelayMs({ ...first, method }, answer(status), 1)).toBeUndefined();
    }
  }
});

test('Retry-After is heeded up to a limit, for a POST only where the server says that nothing was begun', () => {
  expect(retryDelayMs({ ...first, method: 'POST' }, answer(429, '2', true), 1)).toBe(2000);
  expect(retryDelayMs({ ...first, method: 'POST' }, answer(503, '0', true), 1)).toBe(100);
  expect(retryDelayMs({ ...first, method: 'POST' }, answer(503, '0'), 1)).toBeUndefined();
  expect(retryDelayMs({ ...first, method: 'POST' }, answer(503, null, true), 1)).toBeUndefined();
  expect(retryDelayMs({ ...first, method: 'GET' }, answer(503, '2'), 1)).toBe(2000);
  expect(retryDelayMs({ ...first, method: 'GET' }, answer(503, '3600'), 1)).toBeUndefined();
});

test('a DELETE that is to be done once is repeated only where nothing was begun', () => {
  const kill = { ...first, method: 'DELETE', once: true };
  expect(retryDelayMs(kill, refused, 1)).toBe(100);
  expect(retryDelayMs(kill, answer(503, '0', true), 1)).toBe(100);
  for (const how of [broken, answer(502), answer(503), answer(503, '0'), answer(504)]) {
    expect(retryDelayMs(kill, how, 1)).toBeUndefined();
  }
});

test('the server may have acted unless it says otherwise', () => {
  expect(mayHaveActed(broken)).toBe(true);
  expect(mayHaveActed(refused)).toBe(false);
  expect(mayHaveActed(answer(503))).toBe(true);
  expect(mayHaveActed(answer(503, '1', true))).toBe(false);
  expect(mayHaveActed(answer(429, '1'))).toBe(false);
});

test('a body that is spent is never sent again', () => {
  expect(retryDelayMs({ method: 'PUT', retries: 0, replayable: false }, refused, 1)).toBeUndefined();
});

test('what is idempotent by its meaning is repeated when no answer came, and only then', () => {
  const pause = { ...first, method: 'POST', idempotent: true };
  expect(retryDelayMs(pause, broken, 1)).toBe(100);
  expect(retryDelayMs(pause, refused, 1)).toBe(100);
  for (const status of [409, 500, 502, 503, 504]) {
    expect(retryDelayMs(pause, answer(status), 1)).toBeUndefined();
  }
});
