import type { Context } from 'hono';
import type { AppEnv } from '../context.js';

/**
 * The bytes of a request as they arrive. Taken from Node.js's own stream, which waits for its reader; the web
 * stream around it would read ahead without a bound that means bytes.
 */
export function requestBody(c: Context<AppEnv>): AsyncIterable<Uint8Array> {
  const { incoming } = c.env;
  if (incoming !== undefined) return incoming;
  const body = c.req.raw.body;
  return body === null ? nothing() : body;
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
