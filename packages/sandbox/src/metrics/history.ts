import { constants, type FileHandle, open, readFile } from 'node:fs/promises';
import { systemErrorCode } from '@dormouse/errors';
import type { MetricsPoint } from './point.js';
import { decodeRecord, encodeRecord, type MetricsRecord, RECORD_BYTES } from './record.js';

/** How much of the past is kept. */
export interface HistoryShape {
  /** The newest points, all of them. */
  readonly fine: number;
  /** Of older ones every so many-th … */
  readonly every: number;
  /** … as many of those. */
  readonly coarse: number;
}

/** Of a point every 10 s: all of the last hour, and one for every 5 minutes of the last day. */
const SHAPE: HistoryShape = { fine: 360, every: 30, coarse: 288 };

/** Tells the format; other files are begun anew. */
const MAGIC = Buffer.from('dormouse-metrics', 'latin1');
const { O_CREAT, O_RDWR } = constants;

/** Points from one Unix millisecond to another, both included. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * What a sandbox was doing, as long as it ran: a file of fixed size (67 KB) in which new points take the place of old
 * ones. Nothing of it is in memory. It outlives the host agent and every pause; it is not synced, because a crash of
 * the machine may take the newest points.
 */
export class MetricsHistory {
  readonly #path: string;
  readonly #shape: HistoryShape;
  /** Number of the newest point, once the file has been looked at. */
  #newest: number | undefined;

  constructor(path: string, shape: HistoryShape = SHAPE) {
    this.#path = path;
    this.#shape = shape;
  }

  /** Keeps a point. Nothing happens when the sandbox's directory has gone. One at a time. */
  async append(point: MetricsPoint): Promise<void> {
    await using file = await open(this.#path, O_RDWR | O_CREAT, 0o600).catch(ifMissing);
    if (file === undefined) return;
    this.#newest ??= await this.#begin(file);
    const number = this.#newest + 1;
    const bytes = encodeRecord({ number, point });
    await file.write(bytes, 0, bytes.length, this.#fineOffset(number));
    if (number % this.#shape.every === 0) {
      await file.write(bytes, 0, bytes.length, this.#coarseOffset(number / this.#shape.every));
    }
    this.#newest = number;
  }

  /** The points there are, oldest first. */
  async read({ fromMs, toMs }: TimeRange): Promise<readonly MetricsPoint[]> {
    const bytes = await readFile(this.#path).catch(ifMissing);
    if (bytes === undefined) return [];
    return this.#records(bytes)
      .map(({ point }) => point)
      .filter(({ atMs }) => fromMs <= atMs && atMs <= toMs);
  }

  /** Looks at the file, makes one of it if it is none, and answers the number of its newest point. */
  async #begin(file: FileHandle): Promise<number> {
    const bytes = await file.readFile();
    if (isHistory(bytes)) return this.#records(bytes).at(-1)?.number ?? 0;
    await file.truncate(0);
    await file.write(MAGIC, 0, MAGIC.length, 0);
    return 0;
  }

  /** Everything that is where it belongs, in order, each once. */
  #records(bytes: Buffer): readonly MetricsRecord[] {
    if (!isHistory(bytes)) return [];
    const { fine, coarse, every } = this.#shape;
    const records = new Map<number, MetricsRecord>();
    for (let slot = 0; slot < fine + coarse; slot++) {
      const offset = MAGIC.length + slot * RECORD_BYTES;
      const record = decodeRecord(bytes, offset);
      if (record === undefined) continue;
      const { number } = record;
      const place = slot < fine ? this.#fineOffset(number) : this.#coarseOffset(number / every);
      if (place === offset) records.set(number, record);
    }
    return [...records.values()].toSorted((one, other) => one.number - other.number);
  }

  #fineOffset(number: number): number {
    return MAGIC.length + (number % this.#shape.fine) * RECORD_BYTES;
  }

  #coarseOffset(number: number): number {
    const { fine, coarse } = this.#shape;
    return MAGIC.length + (fine + (number % coarse)) * RECORD_BYTES;
  }
}

function isHistory(bytes: Buffer): boolean {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC);
}

function ifMissing(error: unknown): undefined {
  if (systemErrorCode(error) === 'ENOENT') return undefined;
  throw error;
}
