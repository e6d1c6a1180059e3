import fc from 'fast-check';
import { expect, test } from 'vitest';
import { limited } from './limited.js';

test('all items are worked on, never more than so many at once, and results keep their order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.nat({ max: 3 }), { maxLength: 20 }),
      async (parallel, turns) => {
        let running = 0;
        let most = 0;
        const results = await limited(parallel, turns, async (count) => {
          running += 1;
          most = Math.max(most, running);
          for (let turn = 0; turn <= count; turn++) await Promise.resolve();
          running -= 1;
          return count * 2;
        });
        expect(results).toEqual(turns.map((count) => count * 2));
        expect(most).toBe(Math.min(parallel, turns.length));
        expect(running).toBe(0);
      },
    ),
  );
});

test('a failure is the answer', async () => {
  const failing = limited(2, [1, 2, 3], async (item) => {
    if (item === 2) throw new Error('two');
    return item;
  });
  await expect(failing).rejects.toThrow('two');
});
