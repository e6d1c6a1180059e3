import { DormouseError } from '@dormouse/errors';

/** Bytes `start` to `end`, both included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * What a Range header asks for (RFC 9110, section 14). Anything but one range of bytes is ignored, as the
 * standard allows: undefined then means the whole file.
 *
 * @throws DormouseError `range_not_satisfiable` when the range lies outside of the file
 */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  const [, from = '', to = ''] = match ?? [];
  if (from === '' && to === '') return undefined;
  if (from === '') {
    const length = Math.min(Number(to), size);
    if (length === 0) throw notSatisfiable(size);
    return { start: size - length, end: size - 1 };
  }
  const start = Number(from);
  if (to !== '' && Number(to) < start) return undefined;
  if (start >= size) throw notSatisfiable(size);
  return { start, end: to === '' ? size - 1 : Math.min(Number(to), size - 1) };
}

function notSatisfiable(size: number): DormouseError {
  return new DormouseError('range_not_satisfiable', `the file has ${size} bytes; the range lies outside`);
}
