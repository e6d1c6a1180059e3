import {
  closeSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { followLog, lastLines, openLog } from './logs.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-logs-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

test('a log that has grown is put aside at the next start, three are kept', () => {
  const path = join(directory, 'a.log');
  for (let round = 1; round <= 5; round++) {
    const fd = openLog(directory, 'a');
    writeSync(fd, `round ${round}`);
    closeSync(fd);
    truncateSync(path, 10 * 1024 * 1024);
  }
  closeSync(openLog(directory, 'a'));
  const beginning = (name: string) => readFileSync(join(directory, name), 'utf8').slice(0, 7);
  expect(['a.log', 'a.log.1', 'a.log.2', 'a.log.3'].map(beginning)).toEqual([
    '',
    'round 5',
    'round 4',
    'round 3',
  ]);
  expect(existsSync(`${path}.4`)).toBe(false);
});

test('the last lines are those since the start', () => {
  const path = join(directory, 'a.log');
  writeFileSync(path, 'old\n');
  const fd = openLog(directory, 'a');
  writeSync(fd, 'one\ntwo\n\n');
  closeSync(fd);
  expect(lastLines(path, 4, 5)).toEqual(['one', 'two']);
  expect(lastLines(path, 4, 1)).toEqual(['two']);
  expect(lastLines(join(directory, 'none.log'), 0, 1)).toEqual([]);
});

test('following hands over whole lines, and the rest when it ends', () => {
  const path = join(directory, 'a.log');
  writeFileSync(path, 'before\n');
  const lines: string[] = [];
  const stop = followLog(path, (line) => lines.push(line));
  const fd = openLog(directory, 'a');
  writeSync(fd, 'first\nsecond\nunfinished');
  closeSync(fd);
  stop();
  expect(lines).toEqual(['first', 'second']);
});
