import { DormouseError } from '@dormouse/errors';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { AppEnv } from '../context.js';

/** Largest JSON body. Bulk data has the file routes. */
export const MAX_JSON_BYTES: number = 1024 * 1024;

/** Refuses a JSON body that is too large without reading it. */
export const jsonBody: MiddlewareHandler<AppEnv> = bodyLimit({
  maxSize: MAX_JSON_BYTES,
  onError: (c) => {
    // The rest of the body is not worth waiting for.
    c.header('Connection', 'close');
    throw new DormouseError('payload_too_large', 'a JSON body may have 1 MiB at most');
  },
});
