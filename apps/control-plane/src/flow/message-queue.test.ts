import { expect, test } from 'vitest';
import { MessageQueue } from './message-queue.js';

function source(): { pause(): void; resume(): void; calls: string[] } {
  const calls: string[] = [];
  return { calls, pause: () => calls.push('pause'), resume: () => calls.push('resume') };
}

const KIB = 1024;

test('items come out in order, before and after somebody waits for them', async () => {
  const queue = new MessageQueue<string>(source());
  queue.push('a', 1);
  expect(await queue.next()).toEqual({ done: false, value: 'a' });
  const waiting = queue.next();
  queue.push('b', 1);
  expect(await waiting).toEqual({ done: false, value: 'b' });
  queue.push('c', 1);
  queue.end();
  expect(await queue.next()).toEqual({ done: false, value: 'c' });
  expect(await queue.next()).toEqual({ done: true, value: undefined });
});

test('hazard 12: a source that runs ahead is paused until its reader has caught up', async () => {
  const from = source();
  const queue = new MessageQueue<number>(from);
  for (let i = 0; i < 5; i++) queue.push(i, 256 * KIB);
  expect(from.calls).toEqual(['pause']);
  for (let i = 0; i < 4; i++) await queue.next();
  expect([from.calls, queue.bytes]).toEqual([['pause'], 256 * KIB]);
  await queue.next();
  expect([from.calls, queue.bytes]).toEqual([['pause', 'resume'], 0]);
});

test('a failure is told after what came before it', async () => {
  const queue = new MessageQueue<string>(source());
  queue.push('a', 1);
  queue.fail(new Error('broken'));
  expect(await queue.next()).toEqual({ done: false, value: 'a' });
  await expect(queue.next()).rejects.toThrow('broken');
});
