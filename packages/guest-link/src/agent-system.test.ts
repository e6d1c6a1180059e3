import { randomBytes } from 'node:crypto';
import { hostname, release } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Guest } from './guest.js';
import { canRunAgent, outcome, RealAgent } from './testing/real-agent.js';

describe.skipIf(!canRunAgent)('system operations of the real agent', () => {
  let agent: RealAgent;
  let guest: Guest;

  beforeAll(async () => {
    agent = await RealAgent.start(['--net']);
    guest = await agent.connect();
  }, 180_000);

  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
  });

  async function output(argv: readonly string[]): Promise<string> {
    return (await outcome(await guest.startProcess({ argv }))).stdout.toString();
  }

  test('info tells who answers', async () => {
    const info = await guest.info();
    expect(info).toMatchObject({ protocolVersion: 1, kernelRelease: release(), hostname: hostname() });
    expect(info.agentVersion).toMatch(/^\d+\.\d+\.\d+/);
    expect(info.bootId).toMatch(/^[0-9a-f-]{36}$/);
    expect(info.bootTimeMs).toBeLessThan(Date.now());
  });

  test('metrics are of this machine', async () => {
    const process = await guest.startProcess({ argv: ['cat'], input: true });
    const metrics = await guest.metrics();
    expect(metrics.processes).toBe(1);
    expect(metrics.cpuCount).toBeGreaterThan(0);
    expect(metrics.uptimeMs).toBeGreaterThan(0);
    expect(metrics.memoryTotalBytes).toBeGreaterThan(metrics.memoryAvailableBytes);
    expect(metrics.diskTotalBytes).toBeGreaterThan(metrics.diskUsedBytes);
    await process.closeInput();
    await process.exit;
  });

  test('configuration reaches the processes that follow', async () => {
    await guest.configure({
      defaultUser: 'nobody',
      defaultDirectory: '/tmp',
      environment: { A: '1', B: 'two words' },
    });
    expect(await output(['sh', '-c', 'id -un; pwd; echo "$A $B"'])).toBe('nobody\n/tmp\n1 two words\n');
    await guest.configure({ environment: { B: 'changed' } });
    expect(await output(['sh', '-c', 'echo "$A $B"'])).toBe('1 changed\n');
    await guest.configure({ environment: { C: '3' }, replaceEnvironment: true, defaultUser: 'root' });
    expect(await output(['sh', '-c', 'id -un; echo "$A,$B,$C"'])).toBe('root\n,,3\n');
  });

  test('sync, thaw and entropy are done', async () => {
    await guest.sync();
    await guest.thaw();
    await guest.addEntropy(randomBytes(32), { reseed: true });
  });

  // An agent that is not the first process of a machine of its own refuses these, so that it cannot harm the machine
  // it runs on; its refusal shows that the request came through and was understood.
  test.each<[string, (guest: Guest) => Promise<void>]>([
    ['hostname', (g) => g.configure({ hostname: 'sandbox-1' })],
    ['clock', (g) => g.setClock()],
    ['freezing', (g) => g.freeze()],
    ['network', (g) => g.configureNetwork({ interface: 'lo', address: '10.9.8.7/24', gateway: '10.9.8.1' })],
  ])('%s belongs to a machine of its own', async (_, operation) => {
    await expect(operation(guest)).rejects.toMatchObject({
      name: 'GuestError',
      result: 'unsupported',
      message: 'not inside a virtual machine',
    });
  });

  test('arguments that make no sense are refused', async () => {
    const refused = { name: 'GuestError', result: 'invalid_argument', code: 'invalid_request' };
    await expect(guest.addEntropy(randomBytes(8))).rejects.toMatchObject(refused);
    await expect(guest.addEntropy(randomBytes(5_000))).rejects.toMatchObject(refused);
    await expect(guest.configureNetwork({ address: 'nonsense' })).rejects.toMatchObject(refused);
  });

  test('shutdown is confirmed and then ends the agent and the link', async () => {
    await using other = await RealAgent.start();
    const doomed = await other.connect();
    await doomed.shutdown('powerOff', { graceMs: 100 });
    expect(await doomed.link.closed).toMatchObject({ code: 'guest_unreachable' });
    await other.ended();
    await expect(doomed.info()).rejects.toMatchObject({ code: 'guest_unreachable' });
  });
});
