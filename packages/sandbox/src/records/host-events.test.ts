import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { HostEvents, type NewHostEvent } from './host-events.js';

const LOG = { info: () => {}, warn: () => {} };
const paused = (sandboxId: string, key?: string): NewHostEvent => ({
  kind: 'auto_paused',
  sandboxId,
  generation: 1,
  reason: 'it was not used for 60 s',
  key,
});
const numbers = (events: HostEvents, after?: number) => events.pending(after).map(({ number }) => number);

async function scene() {
  const directory = await temporaryDirectory();
  const path = join(directory.path, 'events.jsonl');
  return {
    path,
    open: () => HostEvents.open(path, LOG),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

describe('the log of what a host does by itself', () => {
  test('hazard 9: is there after a crash, with the numbers it had', async () => {
    await using files = await scene();
    const events = await files.open();
    await events.append(paused('a'));
    await events.append({ ...paused('b'), kind: 'stopped', reason: '' });
    const again = await files.open();
    expect(again.pending()).toEqual(events.pending());
    expect(again.pending().map(({ number, kind, sandboxId }) => [number, kind, sandboxId])).toEqual([
      [1, 'auto_paused', 'a'],
      [2, 'stopped', 'b'],
    ]);
    await again.append(paused('c'));
    expect(numbers(again, 1)).toEqual([2, 3]);
  });

  test('forgets what is acknowledged, and never gives a number twice', async () => {
    await using files = await scene();
    const events = await files.open();
    for (const id of ['a', 'b', 'c']) await events.append(paused(id));
    await events.acknowledge(2);
    expect(numbers(events)).toEqual([3]);
    await events.acknowledge(99);
    const again = await files.open();
    expect(numbers(again)).toEqual([]);
    await again.append(paused('d'));
    expect(numbers(again)).toEqual([4]);
  });

  test('tells an event of one key once, before a crash and after it', async () => {
    await using files = await scene();
    const events = await files.open();
    await events.append(paused('a', 'gn1'));
    const again = await files.open();
    await again.append(paused('a', 'gn1'));
    await again.append(paused('a', 'gn2'));
    expect(again.pending().map(({ key }) => key)).toEqual(['gn1', 'gn2']);
  });

  test('hazard 4: a torn line was never told, and does not spoil the next one', async () => {
    await using files = await scene();
    const events = await files.open();
    await events.append(paused('a'));
    await appendFile(files.path, '{"number":2,"kind":"auto_pau');
    const again = await files.open();
    expect(numbers(again)).toEqual([1]);
    await again.append(paused('b'));
    const lines = (await readFile(files.path, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).number)).toEqual([undefined, 1, 2]);
  });

  test('hazard 6: of one that is damaged what can be read is kept, and new numbers are beyond all old ones', async () => {
    await using files = await scene();
    const events = await files.open();
    for (const id of ['a', 'b', 'c']) await events.append(paused(id));
    const lines = (await readFile(files.path, 'utf8')).split('\n');
    await writeFile(files.path, ['\0\0\0', lines[1], 'x', lines[3], ''].join('\n'));
    const again = await files.open();
    expect(numbers(again)).toEqual([1, 3]);
    await again.append(paused('d'));
    expect(numbers(again, 3)[0]).toBeGreaterThan(1_700_000_000_000);
  });

  test('wakes who waits for the next event, and nobody waits for ever', async () => {
    await using files = await scene();
    const events = await files.open();
    const stop = new AbortController();
    const waiting = events.changed(0, 60_000, stop.signal);
    await events.append(paused('a'));
    await waiting;
    await events.changed(0, 60_000, stop.signal);
    await events.changed(1, 1, stop.signal);
    const aborted = events.changed(1, 60_000, stop.signal);
    stop.abort();
    await aborted;
  });

  test('is bounded: of a host that nobody listens to the oldest events go', async () => {
    await using files = await scene();
    const all = Array.from({ length: 10_000 }, (_, index) =>
      JSON.stringify({ ...paused('a'), number: index + 1, atMs: 1 }),
    );
    await writeFile(files.path, `${['{"version":1,"next":10001}', ...all].join('\n')}\n`);
    const events = await files.open();
    await events.append(paused('b'));
    expect([numbers(events)[0], numbers(events).length]).toEqual([1_001, 9_001]);
  });
});
