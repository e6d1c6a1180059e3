import type { MetricsPoint } from './point.js';

/** The figures of a record, in the order in which they are written. */
const FIELDS = [
  'atMs',
  'uptimeMs',
  'cpuCount',
  'cpuBusyMs',
  'cpuIdleMs',
  'memoryTotalBytes',
  'memoryAvailableBytes',
  'memoryCachedBytes',
  'diskTotalBytes',
  'diskUsedBytes',
  'diskAvailableBytes',
  'processCount',
] as const satisfies readonly (keyof MetricsPoint)[];

const VALUE_BYTES = 8;

/** Size of a record: its number and its figures, each a little-endian double. */
export const RECORD_BYTES: number = (1 + FIELDS.length) * VALUE_BYTES;

/** A point and its number: they count up from 1 for as long as the file lives. */
export interface MetricsRecord {
  readonly number: number;
  readonly point: MetricsPoint;
}

/** A record as bytes. */
export function encodeRecord({ number, point }: MetricsRecord): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES);
  for (const [index, value] of [number, ...FIELDS.map((field) => point[field])].entries()) {
    bytes.writeDoubleLE(value, index * VALUE_BYTES);
  }
  return bytes;
}

/** The record at an offset; undefined where there is none, or a damaged one. */
export function decodeRecord(bytes: Buffer, offset: number): MetricsRecord | undefined {
  if (offset + RECORD_BYTES > bytes.length) return undefined;
  const values = [0, ...FIELDS].map((_, index) => bytes.readDoubleLE(offset + index * VALUE_BYTES));
  if (!values.every((value) => Number.isSafeInteger(value) && value >= 0)) return undefined;
  const [number = 0, ...figures] = values;
  if (number === 0) return undefined;
  const point = Object.fromEntries(FIELDS.map((field, index) => [field, figures[index]]));
  return { number, point: point as unknown as MetricsPoint };
}
