import { DormouseError } from '@dormouse/errors';
import type { FileEntry, HostClient } from '@dormouse/host-api';
import { hostStream } from '../host-call.js';

/** Which directory, and which part of its listing. */
export interface ListRequest {
  readonly sandboxId: string;
  readonly path: string;
  readonly user: string;
  readonly depth: number;
  readonly limit: number;
  readonly cursor: string | undefined;
  readonly signal: AbortSignal;
}

/** A part of a listing. */
export interface ListingPage {
  readonly entries: FileEntry[];
  readonly nextCursor: string | null;
}

/**
 * One page of a listing. The guest lists from the beginning each time; what is before the page is passed over,
 * and what comes after it is never asked for.
 */
export async function listDirectory(host: HostClient['host'], request: ListRequest): Promise<ListingPage> {
  const { sandboxId, path, user, depth, limit } = request;
  const skip = decodeOffset(request.cursor);
  const enough = new AbortController();
  const signal = AbortSignal.any([request.signal, enough.signal]);
  const entries: FileEntry[] = [];
  let at = 0;
  try {
    for await (const answer of hostStream(host.listDirectory({ sandboxId, path, user, depth }, { signal }))) {
      for (const entry of answer.entries) {
        if (at++ < skip) continue;
        if (entries.length === limit) return { entries, nextCursor: encodeOffset(skip + limit) };
        entries.push(entry);
      }
    }
    return { entries, nextCursor: null };
  } finally {
    enough.abort();
  }
}

function encodeOffset(offset: number): string {
  return Buffer.from(`entry ${offset}`).toString('base64url');
}

function decodeOffset(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const offset = /^entry (\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('utf8'))?.[1];
  if (offset !== undefined) return Number(offset);
  throw new DormouseError('invalid_request', 'cursor: must be the next_cursor of an earlier page');
}
