import { DormouseError } from '@dormouse/errors';

/** Where a page ended: the place of its last row in (created_at, id) order. */
export interface PagePosition {
  readonly createdAt: Date;
  readonly id: string;
}

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** null: there is no more. */
  readonly nextCursor: string | null;
}

/** Which page is wanted. */
export interface PageRequest {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

const CURSOR_PATTERN = /^(\d{1,15})\.([a-z0-9-]{1,64})$/;

/** A position as clients hold it: opaque to them. */
export function encodeCursor(position: PagePosition): string {
  return Buffer.from(`${position.createdAt.getTime()}.${position.id}`).toString('base64url');
}

/**
 * @throws DormouseError `invalid_request` for anything that was no cursor of ours
 */
export function decodeCursor(cursor: string): PagePosition {
  const match = CURSOR_PATTERN.exec(Buffer.from(cursor, 'base64url').toString('utf8'));
  const [, milliseconds, id] = match ?? [];
  if (milliseconds === undefined || id === undefined || Number(milliseconds) > 8.64e15) {
    throw new DormouseError('invalid_request', 'cursor: must be the next_cursor of an earlier page');
  }
  return { createdAt: new Date(Number(milliseconds)), id };
}

/** Cuts a page from rows that were fetched with one more than its limit. */
export function cutPage<Row extends { created_at: Date; id: string }>(
  rows: readonly Row[],
  limit: number,
): Page<Row> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const more = rows.length > limit && last !== undefined;
  return {
    items,
    nextCursor: more ? encodeCursor({ createdAt: last.created_at, id: last.id }) : null,
  };
}
