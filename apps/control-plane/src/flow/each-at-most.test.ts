import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { gate } from '../testing/gate.js';
import { eachAtMost, shuffled } from './each-at-most.js';

test('works on so many at once, and on all of them', async () => {
  let [running, most] = [0, 0];
  const done: number[] = [];
  const left = await eachAtMost([1, 2, 3, 4, 5, 6, 7], { atOnce: 3, forMs: 60_000 }, async (item) => {
    running += 1;
    most = Math.max(most, running);
    await wait(1);
    running -= 1;
    done.push(item);
  });
  expect([left, most, done.toSorted()]).toEqual([0, 3, [1, 2, 3, 4, 5, 6, 7]]);
});

test('one that takes long delays no other', async () => {
  const slow = gate();
  const done: string[] = [];
  const all = eachAtMost(['slow', 'a', 'b', 'c'], { atOnce: 2, forMs: 60_000 }, async (item) => {
    if (item === 'slow') await slow.opened;
    done.push(item);
    if (item === 'c') slow.open();
  });
  await all;
  expect(done).toEqual(['a', 'b', 'c', 'slow']);
});

test('begins nothing more when its time is over, waits for nothing, and tells how much is left', async () => {
  const slow = gate();
  const begun: number[] = [];
  const left = await eachAtMost([1, 2, 3], { atOnce: 1, forMs: 5 }, async (item) => {
    begun.push(item);
    await slow.opened;
  });
  expect([left, begun]).toEqual([2, [1]]);
  slow.open();
  await wait(10);
  expect(begun).toEqual([1]);
});

test('another order holds the same', () => {
  expect(shuffled([3, 1, 2]).toSorted()).toEqual([1, 2, 3]);
  expect(shuffled([])).toEqual([]);
});
