import { BlockList, isIP } from 'node:net';

/** IPv4 that is not somebody's in the public internet (IANA's special-purpose registry), and multicast. */
const NOT_PUBLIC_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
];

/** Global unicast; everything else of IPv6 (loopback, link-local, unique local, mapped IPv4, multicast) is not. */
const PUBLIC_IPV6 = ['2000::/3'];

/** In it, and yet no public place: IETF protocols with Teredo, documentation, 6to4, which leads to any IPv4. */
const NOT_PUBLIC_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

const notPublicIpv4 = listOf('ipv4', NOT_PUBLIC_IPV4);
const publicIpv6 = listOf('ipv6', PUBLIC_IPV6);
const notPublicIpv6 = listOf('ipv6', NOT_PUBLIC_IPV6);

/** Whether an IP address is one of the public internet: no service of this host, its network or its cloud. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !notPublicIpv4.check(address, 'ipv4');
    case 6:
      // A zone (`fe80::1%eth0`) names a link of this host.
      return (
        !address.includes('%') && publicIpv6.check(address, 'ipv6') && !notPublicIpv6.check(address, 'ipv6')
      );
    default:
      return false;
  }
}

function listOf(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [network = '', prefix] = subnet.split('/');
    list.addSubnet(network, Number(prefix), family);
  }
  return list;
}
