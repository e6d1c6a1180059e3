import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SerialQueue } from './serial-queue.js';

describe('hazard 8: a serial queue', () => {
  test('runs tasks one at a time, in the order they came, whether they fail or not', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ turns: fc.nat(3), fails: fc.boolean() }), { maxLength: 20 }),
        async (tasks) => {
          const queue = new SerialQueue();
          const order: number[] = [];
          let running = 0;
          const outcomes = await Promise.allSettled(
            tasks.map(({ turns, fails }, n) =>
              queue.run(async () => {
                expect(++running).toBe(1);
                order.push(n);
                for (let i = 0; i < turns; i++) await turn();
                running--;
                if (fails) throw new Error(`task ${n}`);
                return n;
              }),
            ),
          );
          expect(order).toEqual(tasks.map((_, n) => n));
          expect(outcomes).toEqual(
            tasks.map(({ fails }, n) =>
              fails
                ? { status: 'rejected', reason: new Error(`task ${n}`) }
                : { status: 'fulfilled', value: n },
            ),
          );
        },
      ),
    );
  });

  test('takes tasks that come while another runs, and goes on after one that throws at once', async () => {
    const queue = new SerialQueue();
    const order: string[] = [];
    const outer = queue.run(async () => {
      order.push('outer');
      void queue.run(async () => void order.push('inner'));
      await turn();
      order.push('outer ends');
    });
    await expect(
      queue.run(() => {
        throw new Error('at once');
      }),
    ).rejects.toThrow('at once');
    await outer;
    await queue.run(async () => void order.push('last'));
    expect(order).toEqual(['outer', 'outer ends', 'inner', 'last']);
  });
});
