import { DormouseError } from '@dormouse/errors';
import { type Change, decodeChange, encodeRecursive } from './file-codec.js';
import { type RecursiveOptions, show, wait } from './files.js';
import type { GuestLink } from './guest-link.js';
import { type GuestStream, messageCost } from './guest-stream.js';
import { InboundQueue } from './inbound-queue.js';
import { MESSAGE, OPERATION } from './protocol.js';
import { drained, QUICK_TIMEOUT_MS } from './requests.js';
import { decodeNothing } from './system-codec.js';
import { violation } from './violation.js';
import type { GuestPath } from './wire-writer.js';

/** The changes below a directory from the moment `watch` resolved. Iterate once; breaking off or disposing ends it. */
export interface GuestWatch extends AsyncIterable<Change>, AsyncDisposable {}

/** Watches a directory. `signal` bounds all of it, `timeoutMs` (default 30 s) the setting up. */
export async function watch(
  link: GuestLink,
  path: GuestPath,
  options: RecursiveOptions,
): Promise<GuestWatch> {
  const args = encodeRecursive(options.user ?? '', path, options.recursive ?? false);
  const what = `watch ${show(path)}`;
  return new Promise((resolve, reject) => {
    let watching = false;
    const queue = new InboundQueue<Change>({ taken: (cost) => stream.consumed(cost) });
    const stop = async (): Promise<void> => {
      queue.abandon();
      stream.cancel(new DormouseError('cancelled', `${what} was ended`));
    };
    const stream: GuestStream = link.open(
      {
        what,
        operation: OPERATION.dirWatch,
        args,
        windowBytes: link.windowBytes,
        timeoutMs: QUICK_TIMEOUT_MS,
        ...wait(options),
      },
      {
        message: (message) => {
          if (message.kind === MESSAGE.changed && watching) {
            return queue.push(decodeChange(message.body), messageCost(message));
          }
          if (message.kind !== MESSAGE.watching || watching)
            throw violation(`MESSAGE ${message.kind} from a watch`);
          decodeNothing(message.body);
          watching = true;
          stream.endTimeout();
          stream.consumed(messageCost(message));
          resolve({
            [Symbol.asyncIterator]: () => drained(queue, stream, what),
            [Symbol.asyncDispose]: stop,
          });
        },
        closed: (error) => {
          const ended = violation(`${what} ended by itself`);
          queue.finish(error ?? ended);
          reject(error ?? ended);
          if (error === undefined) throw ended;
        },
      },
    );
  });
}
