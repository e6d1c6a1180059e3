import Table from 'cli-table3';
import { ansiFor } from './ansi.js';
import { printable } from './printable.js';

/** One JSON value on one line of stdout. */
export function answerJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function answerLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A table without lines between its cells: columns that tools can cut. */
export function answerTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const { dim } = ansiFor(process.stdout);
  process.stdout.write(`${formatTable(head, rows, dim)}\n`);
}

/** @param paint colours the head */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  paint: (text: string) => string = (text) => text,
): string {
  const table = new Table({
    chars: BARE,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  });
  table.push(head.map(paint), ...rows.map((row) => row.map(printable)));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const BARE = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};
