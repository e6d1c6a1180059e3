import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { ResolvedAddress } from './receiver.js';

/** What is sent, and where. */
export interface Post {
  readonly url: URL;
  /** The only addresses that are connected to. */
  readonly addresses: readonly ResolvedAddress[];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Ends everything, whatever it waits for. */
  readonly signal: AbortSignal;
}

/** Of an answer that nobody reads this much is taken from the receiver, so that it is done in peace. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Sends a request over a connection of its own, and answers the status once the answer has ended, was enough or has
 * taken too long: its head is what counts. Redirects are not followed.
 *
 * @throws Error whatever the connection failed with
 */
export function post({ url, addresses, headers, body, signal }: Post): Promise<number> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method: 'POST',
      agent: false,
      lookup: only(addresses),
      headers: { ...headers, 'content-length': String(Buffer.byteLength(body)), connection: 'close' },
      signal,
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const status = response.statusCode ?? 0;
      let taken = 0;
      // However the rest goes, the receiver has answered.
      const answered = () => resolve(status);
      sent.off('error', reject).on('error', answered);
      response.on('error', answered);
      response.on('close', answered);
      response.on('data', (chunk: Buffer) => {
        taken += chunk.length;
        if (taken > MAX_ANSWER_BYTES) sent.destroy();
      });
    });
    sent.end(body);
  });
}

/** Resolves every name to addresses that are known already. Addresses in URLs are not resolved at all. */
function only(addresses: readonly ResolvedAddress[]): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family);
  };
}
