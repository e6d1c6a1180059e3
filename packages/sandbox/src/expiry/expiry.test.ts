import { describe, expect, test } from 'vitest';
import { DEFAULT_POLICY } from '../config/policy.js';
import type { HostState } from '../records/journal.js';
import { decideExpiry, type ExpiryView, retryDelayMs } from './expiry.js';

const LAST = 1_000_000;
const view = (changes: Partial<ExpiryView> = {}): ExpiryView => ({
  state: 'running',
  policy: { ...DEFAULT_POLICY, timeoutSec: 60 },
  removing: false,
  inUse: false,
  lastActiveMs: LAST,
  ...changes,
});

describe('hazard 22: a sandbox', () => {
  test('times out when its whole time has passed since the last activity, not a millisecond before', () => {
    expect(decideExpiry(view(), LAST + 59_999)).toBe('wait');
    expect(decideExpiry(view(), LAST + 60_000)).toBe('pause');
    expect(decideExpiry(view({ lastActiveMs: LAST + 1 }), LAST + 60_000)).toBe('wait');
  });

  test('of timeout 0 never does', () => {
    expect(decideExpiry(view({ policy: { ...DEFAULT_POLICY, timeoutSec: 0 } }), Number.MAX_VALUE)).toBe(
      'wait',
    );
  });

  test('ends as its policy says', () => {
    const policy = { ...DEFAULT_POLICY, timeoutSec: 60, onTimeout: 'kill' } as const;
    expect(decideExpiry(view({ policy }), LAST + 60_000)).toBe('kill');
  });

  test('in which something is under way does not, however long it takes', () => {
    expect(decideExpiry(view({ inUse: true }), LAST + 86_400_000)).toBe('wait');
  });

  test('that does not run does not: nothing is begun beside what changes its life', () => {
    const states: Record<HostState, string> = {
      pending: 'wait',
      running: 'pause',
      snapshotting: 'wait',
      pausing: 'wait',
      paused: 'wait',
      resuming: 'wait',
      stopping: 'wait',
      stopped: 'wait',
    };
    for (const [state, decision] of Object.entries(states) as [HostState, string][]) {
      expect([state, decideExpiry(view({ state }), LAST + 60_000)]).toEqual([state, decision]);
    }
  });

  test('whose pause failed is tried again with back-off, and at once when it was used in between', () => {
    const atMs = LAST + 60_000;
    const failed = { attempts: 2, atMs };
    expect(decideExpiry(view({ failed }), atMs + 9_999)).toBe('wait');
    expect(decideExpiry(view({ failed }), atMs + 10_000)).toBe('pause');
    const used = view({ failed, lastActiveMs: atMs + 1 });
    expect(decideExpiry(used, atMs + 60_000)).toBe('wait');
    expect(decideExpiry(used, atMs + 60_001)).toBe('pause');
  });

  test('hazard 16: whose removal has begun is removed, and tried again with back-off like a pause', () => {
    const removing = view({ state: 'stopping', removing: true });
    expect(decideExpiry(removing, LAST)).toBe('kill');
    const failed = { attempts: 1, atMs: LAST };
    expect(decideExpiry({ ...removing, failed }, LAST + 4_999)).toBe('wait');
    expect(decideExpiry({ ...removing, failed }, LAST + 5_000)).toBe('kill');
  });

  test('is tried again after 5 s, then ever more rarely, down to every five minutes', () => {
    expect([1, 2, 3, 6, 7, 8, 100].map(retryDelayMs)).toEqual([
      5_000, 10_000, 20_000, 160_000, 300_000, 300_000, 300_000,
    ]);
  });
});
