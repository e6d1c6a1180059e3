import { DormouseError } from '@dormouse/errors';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { AppEnv } from '../context.js';

/** Largest JSON body. Bulk data has the file routes. */
export const MAX_JSON_BYTES: number = 1024 * 1024;

/**
 * Refuses a JSON body that is too large without reading it. The connection stays open until the server has thrown
 * away a good part of what is still being sent: closed at once, it would take the answer from its reader.
 */
export const jsonBody: MiddlewareHandler<AppEnv> = bodyLimit({
  maxSize: MAX_JSON_BYTES,
  onError: () => {
    throw new DormouseError('payload_too_large', 'a JSON body may have 1 MiB at most');
  },
});
