import { open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pointAt } from '../testing/metrics-point.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { MetricsHistory } from './history.js';
import { RECORD_BYTES } from './record.js';

const ALWAYS = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER };
const SMALL = { fine: 6, every: 3, coarse: 4 };
const MAGIC_BYTES = 16;

/** What is left of points 1 to `count`, by their numbers. */
function leftOf(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1).filter(
    (number) =>
      number > count - SMALL.fine ||
      (number % SMALL.every === 0 && number > Math.floor(count / 3) * 3 - SMALL.coarse * SMALL.every),
  );
}

describe('the history of a sandbox', () => {
  test('holds the newest points and every so many-th of older ones, whoever writes and reads', async () => {
    await using dir = await temporaryDirectory();
    let files = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(40), fc.nat(40), async (before, after) => {
        files += 1;
        const path = join(dir.path, `${files}.bin`);
        const first = new MetricsHistory(path, SMALL);
        for (let number = 1; number <= before; number++) await first.append(pointAt(number));
        // Another agent goes on with what this one has left.
        const second = new MetricsHistory(path, SMALL);
        const count = before + after;
        for (let number = before + 1; number <= count; number++) await second.append(pointAt(number));
        expect(await second.read(ALWAYS)).toEqual(leftOf(count).map(pointAt));
      }),
      { numRuns: 30 },
    );
  });

  test('answers what is in range, both ends included', async () => {
    await using dir = await temporaryDirectory();
    const history = new MetricsHistory(join(dir.path, 'metrics.bin'));
    expect(await history.read(ALWAYS)).toEqual([]);
    for (const atMs of [10, 20, 30, 40]) await history.append(pointAt(atMs));
    expect(await history.read({ fromMs: 20, toMs: 30 })).toEqual([pointAt(20), pointAt(30)]);
    expect(await history.read({ fromMs: 41, toMs: 50 })).toEqual([]);
  });

  test('never grows beyond 67 KB', async () => {
    await using dir = await temporaryDirectory();
    const path = join(dir.path, 'metrics.bin');
    const history = new MetricsHistory(path);
    for (let number = 1; number <= 360 * 30; number++) await history.append(pointAt(number));
    expect((await stat(path)).size).toBe(MAGIC_BYTES + (360 + 288) * RECORD_BYTES);
    const points = await history.read(ALWAYS);
    expect(points).toHaveLength(360 + 288 - 12);
    expect(points[0]).toEqual(pointAt(360 * 30 - 287 * 30));
  });

  test('is begun anew when the file is none, and does without a record that is damaged or torn', async () => {
    await using dir = await temporaryDirectory();
    const path = join(dir.path, 'metrics.bin');
    await writeFile(path, 'something else entirely, and longer than what marks a history');
    expect(await new MetricsHistory(path).read(ALWAYS)).toEqual([]);
    const history = new MetricsHistory(path);
    for (const atMs of [1, 2, 3]) await history.append(pointAt(atMs));
    const offsetOf = (number: number) => MAGIC_BYTES + number * RECORD_BYTES;
    {
      await using file = await open(path, 'r+');
      await file.write(Buffer.alloc(16, 0xff), 0, 16, offsetOf(2) + 8);
    }
    await truncate(path, offsetOf(3) + RECORD_BYTES - 1);
    expect(await history.read(ALWAYS)).toEqual([pointAt(1)]);
    // The number of what was lost is given again: nothing is in the way.
    const next = new MetricsHistory(path);
    await next.append(pointAt(4));
    expect(await next.read(ALWAYS)).toEqual([pointAt(1), pointAt(4)]);
  });

  test('does not bring back the directory of a sandbox that has gone', async () => {
    await using dir = await temporaryDirectory();
    const home = join(dir.path, 'gone');
    await rm(home, { recursive: true, force: true });
    const history = new MetricsHistory(join(home, 'metrics.bin'));
    await history.append(pointAt(1));
    await expect(readFile(join(home, 'metrics.bin'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
