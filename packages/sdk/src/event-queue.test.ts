import { expect, test } from 'vitest';
import { EventQueue } from './event-queue.js';

const KIB = 1024;

function queueWithLog(): { queue: EventQueue<string>; log: string[] } {
  const log: string[] = [];
  const queue = new EventQueue<string>({ pause: () => log.push('pause'), resume: () => log.push('resume') });
  return { queue, log };
}

test('the source is stopped at 1 MiB and goes on at 256 KiB', async () => {
  const { queue, log } = queueWithLog();
  for (let index = 0; index < 15; index++) queue.push(`event ${index}`, 64 * KIB);
  expect(log).toEqual([]);
  queue.push('event 15', 64 * KIB);
  queue.push('event 16', 64 * KIB);
  expect(log).toEqual(['pause']);
  for (let index = 0; index < 12; index++) expect((await queue.next()).value).toBe(`event ${index}`);
  expect(log).toEqual(['pause']);
  await queue.next();
  expect(log).toEqual(['pause', 'resume']);
});

test('an error comes after what waits, once', async () => {
  const { queue } = queueWithLog();
  queue.push('last words', 1);
  queue.end(new Error('gone'));
  expect((await queue.next()).value).toBe('last words');
  await expect(queue.next()).rejects.toThrow('gone');
  expect(await queue.next()).toEqual({ value: undefined, done: true });
});

test('a consumer that waits gets what comes next', async () => {
  const { queue } = queueWithLog();
  const next = queue.next();
  queue.push('now', 1);
  expect((await next).value).toBe('now');
  const end = queue.next();
  queue.end();
  expect((await end).done).toBe(true);
});

test('leaving the loop lets the source run freely', async () => {
  const { queue, log } = queueWithLog();
  for (let index = 0; index < 17; index++) queue.push('x', 64 * KIB);
  for await (const _ of queue) break;
  queue.push('y', 10 * 1024 * KIB);
  expect(log).toEqual(['pause', 'resume']);
});
