import { describe, expect, test } from 'vitest';
import { FakeClock } from '../testing/fake-clock.js';
import { Activity } from './activity.js';

describe('hazard 22: activity', () => {
  test('is the moment of the last touch', () => {
    const clock = new FakeClock();
    const activity = new Activity(clock);
    const began = activity.lastWallMs;
    clock.advance(5_000);
    expect([activity.inUse, activity.lastWallMs]).toEqual([false, began]);
    activity.touch();
    expect(activity.lastWallMs).toBe(began + 5_000);
  });

  test('is now for as long as anything is under way, and ends when the last of it does', () => {
    const clock = new FakeClock();
    const activity = new Activity(clock);
    const began = activity.lastWallMs;
    const [first, second] = [activity.begin(), activity.begin()];
    clock.advance(60_000);
    expect([activity.inUse, activity.lastWallMs]).toEqual([true, began + 60_000]);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    clock.advance(60_000);
    expect([activity.inUse, activity.lastWallMs]).toEqual([true, began + 120_000]);
    second[Symbol.dispose]();
    clock.advance(60_000);
    expect([activity.inUse, activity.lastWallMs]).toEqual([false, began + 120_000]);
  });

  test('is not measured by a clock that somebody sets', () => {
    const clock = new FakeClock();
    const activity = new Activity(clock);
    clock.jump(3_600_000);
    expect(clock.monotonicMs() - activity.lastMonotonicMs).toBe(0);
  });
});
