import type { IncomingMessage } from 'node:http';
import { DormouseError } from '@dormouse/errors';
import type { Context } from 'hono';
import type { AppEnv } from '../context.js';
import { MessageQueue } from '../flow/message-queue.js';

/**
 * Lets work read the bytes of a request as they arrive, the client being held back while nobody reads. What the
 * work leaves unread is discarded, so that a client that is still sending gets to hear the answer.
 *
 * Taken from Node.js's own stream: the web stream around it reads ahead without a bound that means bytes.
 */
export async function withRequestBody<Result>(
  c: Context<AppEnv>,
  work: (bytes: AsyncIterable<Uint8Array>) => Promise<Result>,
): Promise<Result> {
  const { incoming } = c.env;
  if (incoming === undefined) return work(c.req.raw.body ?? nothing());
  const { queue, release } = collect(incoming);
  try {
    return await work(queue);
  } finally {
    release();
  }
}

function collect(incoming: IncomingMessage): { queue: MessageQueue<Uint8Array>; release: () => void } {
  const queue = new MessageQueue<Uint8Array>(incoming);
  const take = (chunk: Uint8Array) => queue.push(chunk, chunk.length);
  const end = () => queue.end();
  const broken = () => queue.fail(new DormouseError('cancelled', 'the request broke off'));
  incoming.on('data', take);
  incoming.on('end', end);
  incoming.on('error', broken);
  incoming.on('close', broken);
  // What happened before this must not be waited for.
  if (incoming.readableEnded) end();
  else if (incoming.destroyed) broken();
  return {
    queue,
    release: () => {
      incoming.off('data', take);
      incoming.off('end', end);
      incoming.off('close', broken);
      incoming.resume();
    },
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
