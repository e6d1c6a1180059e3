import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { firstLine } from './password.js';

test('a password is the first line of standard input, to the letter', async () => {
  expect(await firstLine(Readable.from(['correct hor', 'se\nsecond line']))).toBe('correct horse');
  expect(await firstLine(Readable.from([Buffer.from('  grüße \r\n')]))).toBe('  grüße ');
  expect(await firstLine(Readable.from(['without an end']))).toBe('without an end');
});

test('no password is an error, and endless input is not read to its end', async () => {
  await expect(firstLine(Readable.from(['\nlater']))).rejects.toThrow('no password on standard input');
  await expect(firstLine(Readable.from([]))).rejects.toThrow('no password on standard input');
  let read = 0;
  const endless = (async function* () {
    for (;;) {
      read += 1;
      yield 'x'.repeat(1000);
    }
  })();
  expect((await firstLine(endless)).length).toBe(5000);
  expect(read).toBe(5);
});
