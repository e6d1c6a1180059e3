import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { ConsoleLog, readConsoleLog } from './console-log.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const ROTATE_BYTES = 512 * 1024;
/** The most that a socket hands over at a time. */
const CHUNK_BYTES = 64 * 1024;

/** Two ends of a connection: the guest's side, and the one the log reads. */
async function connection(directory: string): Promise<readonly [guest: Socket, host: Socket]> {
  const path = join(directory, 'console.sock');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const host = createConnection(path);
  const [guest] = (await once(server, 'connection')) as [Socket];
  server.close();
  return [guest, host];
}

/** Numbered lines, so that what is missing or twice is seen. */
function numberedLines(totalBytes: number): Buffer {
  const count = Math.ceil(totalBytes / 16);
  return Buffer.from(Array.from({ length: count }, (_, n) => `${String(n).padStart(15, '0')}\n`).join(''));
}

describe('the console log', () => {
  test('holds what was printed and ends with the connection', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'console.log');
    const [guest, host] = await connection(directory.path);
    const log = new ConsoleLog(host, path);
    guest.end('Linux version 6.1\nhalf a line');
    await log.ended;
    expect(await readFile(path, 'utf8')).toBe('Linux version 6.1\nhalf a line');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('goes on where an earlier agent left off', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'console.log');
    await writeFile(path, 'before\n');
    const [guest, host] = await connection(directory.path);
    const log = new ConsoleLog(host, path);
    guest.end('after\n');
    await log.ended;
    expect(await readFile(path, 'utf8')).toBe('before\nafter\n');
  });

  test('goes on in another file when it is moved', async () => {
    await using directory = await temporaryDirectory();
    const [first, second] = [join(directory.path, 'first.log'), join(directory.path, 'second.log')];
    await writeFile(second, 'earlier\n');
    const [guest, host] = await connection(directory.path);
    const log = new ConsoleLog(host, first);
    guest.write('before\n');
    await vi.waitFor(async () => expect(await readFile(first, 'utf8')).toBe('before\n'));
    log.moveTo(second);
    guest.end('after\n');
    await log.ended;
    expect(await readFile(first, 'utf8')).toBe('before\n');
    expect(await readFile(second, 'utf8')).toBe('earlier\nafter\n');
  });

  test('hazard 18: a flood leaves two files of bounded size, whose end is the newest output without a gap', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'console.log');
    const [guest, host] = await connection(directory.path);
    const log = new ConsoleLog(host, path);
    const flood = numberedLines(10 * 1024 * 1024);
    guest.end(flood);
    await log.ended;
    expect((await readdir(directory.path)).toSorted()).toEqual(['console.log', 'console.log.1']);
    const newest = await readFile(path);
    const older = await readFile(`${path}.1`);
    expect(newest.length).toBeLessThanOrEqual(ROTATE_BYTES + CHUNK_BYTES);
    expect(older.length).toBeLessThanOrEqual(ROTATE_BYTES + CHUNK_BYTES);
    expect(older.length).toBeGreaterThan(ROTATE_BYTES);
    const whole = Buffer.concat([older, newest]);
    expect(whole.equals(flood.subarray(-whole.length))).toBe(true);
  });

  test('gives up quietly when its directory has gone', async () => {
    await using directory = await temporaryDirectory();
    const [guest, host] = await connection(directory.path);
    guest.write('nobody hears this');
    await new ConsoleLog(host, join(directory.path, 'gone', 'console.log')).ended;
    expect(host.destroyed).toBe(true);
    guest.destroy();
  });
});

describe('the tail of a console log', () => {
  test('is empty when there is no log', async () => {
    await using directory = await temporaryDirectory();
    expect(await readConsoleLog(join(directory.path, 'console.log'), 100)).toEqual(Buffer.alloc(0));
  });

  test.each([
    [3, 'def'],
    [6, 'abcdef'],
    [8, '89abcdef'],
    [100, '0123456789abcdef'],
    [0, ''],
  ])('of %i bytes is read across the rotation', async (maxBytes, expected) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'console.log');
    await writeFile(`${path}.1`, '0123456789');
    await writeFile(path, 'abcdef');
    expect((await readConsoleLog(path, maxBytes)).toString()).toBe(expected);
  });
});
