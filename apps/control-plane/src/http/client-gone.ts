import type { Context } from 'hono';
import type { AppEnv } from '../context.js';

/**
 * A signal that fires when the client goes away before its answer is complete. Taken from Node.js's own objects:
 * asking the web request for its signal would begin to read its body.
 */
export function clientGone(c: Context<AppEnv>): AbortSignal {
  const { outgoing } = c.env;
  if (outgoing === undefined) return c.req.raw.signal;
  const controller = new AbortController();
  const check = () => {
    if (!outgoing.writableFinished) controller.abort();
  };
  if (outgoing.destroyed) check();
  else outgoing.once('close', check);
  return controller.signal;
}

/** Breaks the connection: the client sees that its answer is not complete, whatever its head announced. */
export function breakOff(c: Context<AppEnv>): () => void {
  return () => c.env.outgoing?.destroy();
}
