import { expect, test } from 'vitest';
import { gate } from '../testing/gate.js';
import { Operations } from './operations.js';

test('hazard 8: equal operations are one, others wait for their turn, and sandboxes do not wait for each other', async () => {
  const operations = new Operations();
  const first = gate();
  const log: string[] = [];
  const step = (name: string, until: Promise<void> = Promise.resolve()) => {
    return async () => {
      log.push(`${name} begins`);
      await until;
      log.push(`${name} ends`);
      return name;
    };
  };
  const pauses = [1, 2, 3].map((n) => operations.run('a', 'pause', step(`pause ${n}`, first.opened)));
  const resume = operations.run('a', 'resume', step('resume'));
  const late = operations.run('a', 'pause', step('late pause'));
  expect(await operations.run('b', 'pause', step('other'))).toBe('other');
  expect(log).toEqual(['pause 1 begins', 'other begins', 'other ends']);
  first.open();
  expect(await Promise.all([...pauses, resume, late])).toEqual([
    'pause 1',
    'pause 1',
    'pause 1',
    'resume',
    'late pause',
  ]);
  expect(log.slice(3)).toEqual([
    'pause 1 ends',
    'resume begins',
    'resume ends',
    'late pause begins',
    'late pause ends',
  ]);
});

test('a failure is shared by those who joined, and the next goes on all the same', async () => {
  const operations = new Operations();
  const failing = () => operations.run('a', 'pause', () => Promise.reject(new Error('no')));
  const [first, second] = [failing(), failing()];
  const next = operations.run('a', 'resume', async () => 'done');
  await expect(first).rejects.toThrow('no');
  await expect(second).rejects.toThrow('no');
  expect(await next).toBe('done');
  await expect(failing()).rejects.toThrow('no');
});
