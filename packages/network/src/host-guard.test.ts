import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { guardRules, installHostGuard } from './host-guard.js';

/** Users that no machine has; the rules of a real installation name others. */
const UIDS = { first: 4_294_100_000, last: 4_294_100_009 };
const WITHIN = UIDS.first + 5;
const OUTSIDE = UIDS.last + 1;

const canGuard = process.geteuid?.() === 0 && spawnSync('nft', ['list', 'tables']).status === 0;

async function listen(host: string): Promise<Server & AsyncDisposable> {
  const server = createServer((socket) => socket.end('reached'));
  server.listen(0, host);
  await once(server, 'listening');
  return server as Server & AsyncDisposable;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** Tries to connect as a user. Answers what it read, or the error's code. */
async function connectAs(uid: number, host: string, port: number): Promise<string> {
  const script = `
    const socket = require('node:net').connect(${port}, '${host}');
    socket.on('data', (data) => process.stdout.write(data));
    socket.on('error', (error) => process.stdout.write(error.code));
    socket.setTimeout(30_000, () => process.exit(9));`;
  const ids = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
  const child = spawn('setpriv', [...ids, process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const [code] = await once(child, 'close');
  expect(code).toBe(0);
  return output;
}

const SCOPE = 'host-guard.test';
const TABLE = `dormouse_${createHash('sha256').update(SCOPE).digest('hex').slice(0, 8)}`;

/** The rules in the kernel; undefined when there is no such table. */
function installed(): string | undefined {
  const { status, stdout } = spawnSync('nft', ['list', 'table', 'inet', TABLE], { encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}

describe('the rules of the guard', () => {
  test('are exactly these', () => {
    expect(guardRules('dormouse_0a1b2c3d', { first: 1_907_000_000, last: 1_907_065_535 })).toBe(`\
table inet dormouse_0a1b2c3d {}
flush table inet dormouse_0a1b2c3d
table inet dormouse_0a1b2c3d {
  chain output {
    type filter hook output priority 0; policy accept;
    meta skuid 1907000000-1907065535 oifname "lo" meta l4proto { tcp, udp } th dport 53 accept
    meta skuid 1907000000-1907065535 oifname "lo" jump refuse
    meta skuid 1907000000-1907065535 ip daddr 169.254.0.0/16 jump refuse
    meta skuid 1907000000-1907065535 ip6 daddr fe80::/10 jump refuse
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject
  }
}
`);
  });
});

describe.skipIf(!canGuard)('the guard in the kernel', () => {
  test.each(['127.0.0.1', '::1'])(
    "keeps VM users from a service on this host's %s, and nobody else",
    async (host) => {
      await using server = await listen(host);
      const port = portOf(server);
      expect(await connectAs(WITHIN, host, port)).toBe('reached');
      const guard = await installHostGuard(SCOPE, UIDS);
      try {
        expect(await connectAs(WITHIN, host, port)).toBe('ECONNREFUSED');
        expect(await connectAs(UIDS.first, host, port)).toBe('ECONNREFUSED');
        expect(await connectAs(UIDS.last, host, port)).toBe('ECONNREFUSED');
        expect(await connectAs(OUTSIDE, host, port)).toBe('reached');
        expect(await connectAs(0, host, port)).toBe('reached');
      } finally {
        await guard.remove();
      }
      expect(await connectAs(WITHIN, host, port)).toBe('reached');
    },
  );

  test('keeps VM users from link-local addresses, where clouds keep credentials', async () => {
    const guard = await installHostGuard(SCOPE, UIDS);
    try {
      expect(await connectAs(WITHIN, '169.254.169.254', 80)).toBe('ECONNREFUSED');
    } finally {
      await guard.remove();
    }
  });

  test('hazard 17: can be installed again over itself and removed twice, and leaves no table', async () => {
    expect(installed()).toBeUndefined();
    const first = await installHostGuard(SCOPE, UIDS);
    const rules = installed();
    expect(rules?.match(/jump refuse/g)).toHaveLength(3);
    const second = await installHostGuard(SCOPE, UIDS);
    expect(installed()).toBe(rules);
    await first.remove();
    expect(installed()).toBeUndefined();
    await second.remove();
    expect(installed()).toBeUndefined();
  });

  test('says in nft’s own words why rules were refused', async () => {
    await expect(installHostGuard(SCOPE, { first: 2, last: 1 })).rejects.toMatchObject({
      code: 'not_permitted',
      message: expect.stringMatching(/^nft refused the rules: .*Error: Range has zero or negative size$/),
    });
  });
});

test('without nft the guard says what is missing', async () => {
  const path = process.env.PATH;
  process.env.PATH = '/nowhere';
  try {
    await expect(installHostGuard(SCOPE, UIDS)).rejects.toMatchObject({
      code: 'missing_tool',
      message: 'nft is not installed',
      suggestion: 'Install the package nftables.',
    });
  } finally {
    process.env.PATH = path;
  }
});
