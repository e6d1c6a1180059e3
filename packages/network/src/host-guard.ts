import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { DormouseError, systemErrorCode } from '@dormouse/errors';

const NFT_TIMEOUT_MS = 15_000;

/** Users that VM processes run as, first and last. */
export interface UidRange {
  readonly first: number;
  readonly last: number;
}

/**
 * What keeps guests away from the host. In QEMU's user-mode network the gateway address 10.0.2.2 is the host's own
 * loopback: without this, every service that listens there would be open to untrusted code.
 */
export interface HostGuard {
  /** Takes the rules away again. */
  remove(): Promise<void>;
}

/**
 * The nftables rules: VM processes may not connect to the host itself (whatever address is used, such traffic
 * leaves through `lo`), except to a name server there, nor to link-local addresses, where clouds keep credentials.
 *
 * Connections are refused by a reset: QEMU's network stack overlooks an ICMP answer, and the guest would wait for
 * minutes.
 */
export function guardRules(table: string, uids: UidRange): string {
  const vm = `meta skuid ${uids.first}-${uids.last}`;
  return `table inet ${table} {}
flush table inet ${table}
table inet ${table} {
  chain output {
    type filter hook output priority 0; policy accept;
    ${vm} oifname "lo" meta l4proto { tcp, udp } th dport 53 accept
    ${vm} oifname "lo" jump refuse
    ${vm} ip daddr 169.254.0.0/16 jump refuse
    ${vm} ip6 daddr fe80::/10 jump refuse
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject
  }
}
`;
}

/**
 * Installs the rules, replacing what an earlier run with the same scope has left.
 *
 * @param scope names the installation, e.g. its data directory; each has a table of its own
 * @throws DormouseError `missing_tool` without nft, `not_permitted` when the kernel refuses
 */
export async function installHostGuard(scope: string, uids: UidRange): Promise<HostGuard> {
  const table = `dormouse_${createHash('sha256').update(scope).digest('hex').slice(0, 8)}`;
  await nft(guardRules(table, uids));
  return { remove: () => nft(`table inet ${table} {}\ndelete table inet ${table}\n`) };
}

function nft(script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', ['-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'], timeout: NFT_TIMEOUT_MS });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors = (errors + chunk).slice(0, 1_000);
    });
    child.once('error', (error) => {
      const missing = systemErrorCode(error) === 'ENOENT';
      reject(
        new DormouseError(
          missing ? 'missing_tool' : 'internal',
          missing ? 'nft is not installed' : error.message,
          {
            cause: error,
            suggestion: 'Install the package nftables.',
          },
        ),
      );
    });
    child.once('close', (code) => {
      if (code === 0) resolve();
      else
        reject(new DormouseError('not_permitted', `nft refused the rules: ${errors.trim().split('\n')[0]}`));
    });
    child.stdin.on('error', () => {});
    child.stdin.end(script);
  });
}
