import { isIP } from 'node:net';

/**
 * Where a request comes from. X-Forwarded-For is what anybody says; only what our own proxies have added to its end
 * can be believed.
 *
 * @param peer the other end of the connection
 * @param forwarded the header X-Forwarded-For
 * @param trustedProxies how many proxies stand between clients and us
 * @returns an IP address; null when it cannot be told
 */
export function clientAddress(
  peer: string | undefined,
  forwarded: string | undefined,
  trustedProxies: number,
): string | null {
  const own = peer === undefined ? null : plain(peer);
  if (trustedProxies === 0 || forwarded === undefined) return own;
  const hops = forwarded.split(',').map((hop) => hop.trim());
  const claimed = plain(hops[Math.max(0, hops.length - trustedProxies)] ?? '');
  return isIP(claimed) === 0 ? own : claimed;
}

/** IPv4 as such also on a socket for both. */
function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '').toLowerCase();
}

/**
 * Whom an address stands for when requests are counted: one machine for IPv4, one network of /64 for IPv6, where
 * everybody has 2^64 addresses to choose from.
 */
export function addressGroup(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
