import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';

/** A log of this size is put aside when its service starts. */
const ROTATE_BYTES = 10 * 1024 * 1024;

/** Logs put aside: `<name>.log.1` is the newest. */
const KEPT = 3;

const FOLLOW_MS = 250;

/** Most of a log that is looked through for its last lines. */
const TAIL_BYTES = 16 * 1024;

/** The log of a service. */
export function logPath(directory: string, name: string): string {
  return join(directory, `${name}.log`);
}

/**
 * Opens a log for appending, after putting it aside when it has grown. The descriptor goes to the service itself:
 * its log does not depend on this process being alive.
 */
export function openLog(directory: string, name: string): number {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = logPath(directory, name);
  if (existsSync(path) && statSync(path).size >= ROTATE_BYTES) {
    for (let number = KEPT - 1; number >= 1; number--) {
      if (existsSync(`${path}.${number}`)) renameSync(`${path}.${number}`, `${path}.${number + 1}`);
    }
    renameSync(path, `${path}.1`);
  }
  return openSync(path, 'a', 0o600);
}

/** The last lines of a log, from `offset` on. */
export function lastLines(path: string, offset: number, count: number): readonly string[] {
  const end = existsSync(path) ? statSync(path).size : 0;
  // A log that was put aside meanwhile begins anew.
  const begin = Math.max(offset > end ? 0 : offset, end - TAIL_BYTES);
  const lines = readRange(path, begin, end).split('\n');
  return lines.filter((line) => line.trim() !== '').slice(-count);
}

/**
 * Hands over the lines that are appended to a log from now on.
 *
 * @returns ends it, after the lines written so far
 */
export function followLog(path: string, onLine: (line: string) => void): () => void {
  let offset = existsSync(path) ? statSync(path).size : 0;
  let partial = '';
  const look = (): void => {
    const size = existsSync(path) ? statSync(path).size : 0;
    if (size < offset) offset = 0;
    if (size === offset) return;
    const lines = (partial + readRange(path, offset, size)).split('\n');
    offset = size;
    partial = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  };
  const timer = setInterval(look, FOLLOW_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    look();
  };
}

function readRange(path: string, begin: number, end: number): string {
  if (end <= begin) return '';
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(Math.min(end, fstatSync(fd).size) - begin);
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, begin));
  } finally {
    closeSync(fd);
  }
}
