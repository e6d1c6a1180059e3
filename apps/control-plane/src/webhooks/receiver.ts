import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { isPublicAddress } from './address.js';

/** An address to connect to. */
export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

export interface ReceiverRules {
  /** Also addresses of this host and its networks, for who runs everything on one machine. */
  readonly allowPrivate: boolean;
  readonly resolve: Resolve;
}

/** How long a name may take when a webhook is set; a delivery has its own bound. */
const LOOKUP_MS = 3_000;

const SUGGESTION = 'Whoever runs this server can allow it with DORMOUSE_WEBHOOK_PRIVATE=allow.';

/** As the system resolves it, hosts file included. */
export const resolveWithSystem: Resolve = (hostname) => lookup(hostname, { all: true });

/**
 * Refuses a URL that leads to this host or its networks. A name that has no address yet is taken: every delivery looks
 * again.
 *
 * @throws DormouseError `invalid_request`
 */
export async function checkReceiver(url: string, rules: ReceiverRules): Promise<void> {
  if (rules.allowPrivate) return;
  try {
    await within(LOOKUP_MS, addressesOf(new URL(url), rules));
  } catch (thrown) {
    if (!(thrown instanceof DormouseError) || thrown.code !== 'not_permitted') return;
    const options = { cause: thrown, suggestion: SUGGESTION };
    throw new DormouseError('invalid_request', `url: ${thrown.message}`, options);
  }
}

/**
 * The addresses of a receiver, to connect to without looking again: a second look-up may answer something else.
 *
 * @throws DormouseError `not_permitted` when one of them is not public, or `unavailable` when there is none
 */
export async function addressesOf(
  url: URL,
  { allowPrivate, resolve }: ReceiverRules,
): Promise<readonly ResolvedAddress[]> {
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(hostname);
  const addresses = family === 0 ? await resolved(hostname, resolve) : [{ address: hostname, family }];
  if (!allowPrivate && !addresses.every(({ address }) => isPublicAddress(address))) {
    throw new DormouseError('not_permitted', 'the address of the receiver is not a public one');
  }
  return addresses;
}

async function resolved(hostname: string, resolve: Resolve): Promise<readonly ResolvedAddress[]> {
  try {
    const addresses = await resolve(hostname);
    if (addresses.length > 0) return addresses;
  } catch (error) {
    const message = `the name of the receiver has no address (${systemErrorCode(error) ?? 'unknown'})`;
    throw new DormouseError('unavailable', message, { cause: error });
  }
  throw new DormouseError('unavailable', 'the name of the receiver has no address');
}

/** @throws DormouseError `timeout` */
function within<Value>(timeoutMs: number, work: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const late = () =>
      reject(new DormouseError('timeout', 'the name of the receiver was not resolved in time'));
    const timer = setTimeout(late, timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
