import { expect, test } from 'vitest';
import { everyStep, UndoList } from './every-step.js';

test('every step runs, and the first error is thrown after the last one', async () => {
  const ran: number[] = [];
  const step = (number: number, error?: Error) => async () => {
    ran.push(number);
    if (error !== undefined) throw error;
  };
  const [first, second] = [new Error('first'), new Error('second')];
  await expect(everyStep(step(1), step(2, first), step(3), step(4, second), step(5))).rejects.toBe(first);
  expect(ran).toEqual([1, 2, 3, 4, 5]);
  await everyStep();
});

test('an undo list runs each step once, reports those that fail, and never rejects', async () => {
  const ran: number[] = [];
  const problems: unknown[] = [];
  const undo = new UndoList();
  for (const number of [1, 2, 3]) {
    undo.add(() => {
      ran.push(number);
      if (number < 3) throw new Error(`step ${number}`);
    });
  }
  await undo.run((error) => problems.push((error as Error).message));
  await undo.run((error) => problems.push(error));
  expect(ran).toEqual([1, 2, 3]);
  expect(problems).toEqual(['step 1', 'step 2']);
});
