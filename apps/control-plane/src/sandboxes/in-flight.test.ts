import { expect, test } from 'vitest';
import { InFlight } from './in-flight.js';

test('hazard 8: an observer hears of everything that was in flight at any moment while it watched', async () => {
  const inFlight = new InFlight();
  let finish = () => {};
  const running = inFlight.run('a', () => new Promise<void>((resolve) => (finish = resolve)));
  using seen = inFlight.observe();
  await inFlight.run('b', async () => {});
  finish();
  await running;
  expect([seen.has('a'), seen.has('b'), seen.has('c')]).toEqual([true, true, false]);
  expect([inFlight.has('a'), inFlight.has('b')]).toEqual([false, false]);
  using later = inFlight.observe();
  expect([later.has('a'), later.has('b')]).toEqual([false, false]);
});

test('several are in flight together', async () => {
  const inFlight = new InFlight();
  const all = () => ['a', 'b'].map((id) => inFlight.has(id));
  expect(await inFlight.runAll(['a', 'b'], async () => all())).toEqual([true, true]);
  expect(all()).toEqual([false, false]);
  expect(await inFlight.runAll([], async () => 7)).toBe(7);
});

test('a sandbox is in flight until the last of its work is done, failed work included', async () => {
  const inFlight = new InFlight();
  const failing = inFlight.run('a', () => Promise.reject(new Error('no')));
  await inFlight.run('a', async () => {
    await expect(failing).rejects.toThrow('no');
    expect(inFlight.has('a')).toBe(true);
  });
  expect(inFlight.has('a')).toBe(false);
});

test('waiting within work keeps the reconciler away only before and afterwards', async () => {
  const inFlight = new InFlight();
  const seen: boolean[] = [];
  await inFlight.run('a', async () => {
    seen.push(inFlight.has('a'));
    using before = inFlight.observe();
    await inFlight.outside('a', async () => {
      seen.push(inFlight.has('a'));
      using during = inFlight.observe();
      seen.push(during.has('a'));
    });
    seen.push(inFlight.has('a'), before.has('a'));
    // Other work on the same one goes on.
    await inFlight.run('a', () => inFlight.outside('a', async () => void seen.push(inFlight.has('a'))));
  });
  expect(seen).toEqual([true, false, false, true, true, true]);
  expect(inFlight.has('a')).toBe(false);
  expect(await inFlight.outside('b', async () => inFlight.has('b'))).toBe(false);
  expect(inFlight.has('b')).toBe(false);
});
