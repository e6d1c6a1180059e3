import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { Sandbox } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from './support/run.js';
import { freePort, type Stack, startStack } from './support/stack.js';

/**
 * Another machine, as far as guests can tell: a network namespace behind a pair of virtual cables. The addresses
 * are of the range for tests of networks (RFC 2544), which nobody routes.
 */
const NAMESPACE = `dormouse-e2e-${process.pid}`;
const CABLE = `dm${process.pid}`;
const HOST_ADDRESS = '198.18.77.1';
const OTHER_ADDRESS = '198.18.77.2';
const OTHER_PORT = 8080;

/** The host, as QEMU's user-mode network shows it to guests (QEMU, -netdev user). */
const GATEWAY = '10.0.2.2';
/** Where clouds hand out credentials. */
const METADATA_SERVICE = '169.254.169.254';

let stack: Stack;
let online: Sandbox;
let offline: Sandbox;
let other: ChildProcess;
let listener: Server;
let listenerPort: number;
let strangers = 0;

beforeAll(async () => {
  await ip('netns', 'add', NAMESPACE);
  await ip('link', 'add', CABLE, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NAMESPACE);
  await ip('address', 'add', `${HOST_ADDRESS}/30`, 'dev', CABLE);
  await ip('link', 'set', CABLE, 'up');
  await ip('-n', NAMESPACE, 'address', 'add', `${OTHER_ADDRESS}/30`, 'dev', 'eth0');
  await ip('-n', NAMESPACE, 'link', 'set', 'eth0', 'up');
  other = await serverIn(NAMESPACE);
  listener = createServer((socket) => {
    strangers += 1;
    socket.end('you should not be here\n');
  });
  listenerPort = await freePort();
  listener.listen(listenerPort, '0.0.0.0');
  await once(listener, 'listening');
  stack = await startStack();
  [online, offline] = await Promise.all([
    stack.client.sandboxes.create(),
    stack.client.sandboxes.create({ internet: false }),
  ]);
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
  if (other !== undefined) {
    const ended = once(other, 'exit');
    other.kill('SIGKILL');
    await ended;
  }
  listener?.close();
  await run('ip', ['netns', 'delete', NAMESPACE]);
  await run('ip', ['link', 'delete', CABLE]);
});

async function ip(...args: string[]): Promise<void> {
  const { code, stderr } = await run('ip', args);
  if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

/** A server in a network namespace that greets and closes. */
async function serverIn(namespace: string): Promise<ChildProcess> {
  const script = `require('node:net').createServer((s) => s.end('hello from outside\\n')).listen(${OTHER_PORT}, () => console.log('up'))`;
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return child;
}

/** What a TCP connection from a guest comes to: what it reads, or the name of the error. */
async function connect(sandbox: Sandbox, address: string, port: number): Promise<string> {
  const script = [
    'import socket, sys',
    'try:',
    '    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as s:',
    '        s.settimeout(20)',
    '        print(s.recv(100).decode().strip() or "closed")',
    'except OSError as e:',
    '    print(type(e).__name__ if type(e) is not OSError else e.strerror)',
  ].join('\n');
  const { stdout, stderr } = await sandbox.exec({ cmd: 'python3', args: ['-c', script, address, `${port}`] });
  expect(stderr).toBe('');
  return stdout.trim();
}

test('a sandbox with internet reaches other machines', async () => {
  expect(await connect(online, OTHER_ADDRESS, OTHER_PORT)).toBe('hello from outside');
});

test('a sandbox without internet reaches nobody, not by address and not by name', async () => {
  expect(offline.info.internet).toBe(false);
  for (const [address, port] of [
    [OTHER_ADDRESS, OTHER_PORT],
    [HOST_ADDRESS, listenerPort],
    [GATEWAY, listenerPort],
    ['10.0.2.3', 53],
    [METADATA_SERVICE, 80],
  ] as const) {
    expect(await connect(offline, address, port)).toMatch(
      /^(ConnectionRefusedError|TimeoutError|Network is unreachable|No route to host)$/,
    );
  }
  expect((await offline.exec('timeout 30 getent hosts localhost.example.com')).exitCode).not.toBe(0);
  expect((await offline.exec('echo still here')).stdout).toBe('still here\n');
  expect(strangers).toBe(0);
});

test('a guest does not reach what listens on the host, whatever it calls the host', async () => {
  const apiPort = Number(new URL(stack.apiUrl).port);
  for (const [address, port] of [
    [GATEWAY, listenerPort],
    [GATEWAY, apiPort],
    [HOST_ADDRESS, listenerPort],
    [METADATA_SERVICE, 80],
  ] as const) {
    expect(`${address}:${port} ${await connect(online, address, port)}`).toMatch(
      / (ConnectionRefusedError|ConnectionResetError|Network is unreachable|No route to host|closed)$/,
    );
  }
  expect(strangers).toBe(0);
  // And it is no matter of the listener: from here it answers.
  expect((await fetch(`${stack.apiUrl}/healthz`)).status).toBe(200);
});

test('a guest does not reach the loopback of another guest', async () => {
  await using server = await online.spawn(
    { cmd: 'python3', args: ['-m', 'http.server', '8000', '--bind', '0.0.0.0'] },
    { stdin: false },
  );
  await using neighbour = await stack.client.sandboxes.create();
  const own =
    'for i in $(seq 100); do curl -sf -o /dev/null http://127.0.0.1:8000/ && exit; sleep 0.2; done; exit 1';
  expect((await online.exec(own)).exitCode).toBe(0);
  for (const address of ['127.0.0.1', '10.0.2.15', GATEWAY]) {
    expect(await connect(neighbour, address, 8000)).not.toMatch(/HTTP/);
  }
  await server.kill();
});
