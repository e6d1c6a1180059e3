import { expect, test } from 'vitest';
import { formatTable } from './answer.js';
import { humanAge, humanBytes, humanMs } from './human.js';
import { printable } from './printable.js';

test('tables are columns without lines or trailing blanks', () => {
  const rows = [
    ['sb1', 'running', ''],
    ['sb22', 'error', 'x=y'],
  ];
  expect(formatTable(['ID', 'STATE', 'LABELS'], rows)).toBe(
    ['ID    STATE    LABELS', 'sb1   running', 'sb22  error    x=y'].join('\n'),
  );
});

test('what a sandbox says cannot act on the terminal', () => {
  expect(printable('\x1b[2J\x1b]0;title\x07red\x1b[31m!')).toBe(' ]0;title red!');
  expect(formatTable(['A'], [['\x1b[31mx\ny']])).toBe('A\nx y');
});

test('sizes and times are short', () => {
  expect([0, 1023, 1536, 400 * 1024 ** 2, 2 * 1024 ** 4].map(humanBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.5 KiB',
    '400 MiB',
    '2.0 TiB',
  ]);
  expect([12.4, 999, 3400].map(humanMs)).toEqual(['12 ms', '999 ms', '3.4 s']);
  const now = Date.parse('2026-01-02T00:00:00.000Z');
  expect(humanAge('2026-01-01T23:59:30.000Z', now)).toBe('30 s');
  expect(humanAge('2026-01-01T00:00:00.000Z', now)).toBe('1 d');
});
