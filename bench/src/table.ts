import Table from 'cli-table3';
import type { Figure } from './figure.js';

/** Figures as a table for people. */
export function figureTable(figures: readonly Figure[]): string {
  const table = new Table({
    head: ['figure', 'median', 'p95', 'n', 'baseline', 'ratio', 'target'],
    style: { head: [], border: [] },
  });
  for (const { name, unit, median, p95, count, baseline, ratio, target } of figures) {
    table.push([
      name,
      `${shown(median)} ${unit}`,
      p95 === undefined ? '' : `${shown(p95)} ${unit}`,
      `${count}`,
      baseline === undefined ? '' : `${baseline.what}: ${shown(baseline.median)} ${unit}`,
      ratio === undefined ? '' : `${ratio.toFixed(2)} ×`,
      target === undefined ? '' : `${target.text}: ${target.met ? 'met' : 'missed'}`,
    ]);
  }
  return table.toString();
}

function shown(value: number): string {
  return value >= 100 ? Math.round(value).toString() : value.toFixed(1);
}
