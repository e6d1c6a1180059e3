import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AgentHost, agentHost, NOTHING } from '../testing/agent-process.js';
import { ExecCall } from '../testing/exec-call.js';

const SANDBOX = `sb${'p'.repeat(20)}`;
const PATIENCE = { timeout: 120_000, interval: 200 } as const;

let agent: AgentHost;

beforeAll(async () => {
  agent = await agentHost();
  await agent.client.createSandbox({ id: SANDBOX, generation: 1n, spec: { template: 'base' } });
});

afterAll(async () => {
  await agent.client.destroySandbox({ id: SANDBOX });
  const left = await agent.presence();
  await agent[Symbol.asyncDispose]();
  expect(left).toEqual(NOTHING);
});

/** Sum of the samples of a name that have these labels; undefined without any. */
async function sumOf(name: string, labels = ''): Promise<number | undefined> {
  const { exposition } = await agent.client.getHostMetrics({});
  const samples = exposition
    .split('\n')
    .filter(
      (line) => line.startsWith(`${name}{`) && labels.split(' ').every((label) => line.includes(label)),
    );
  if (samples.length === 0) return undefined;
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

const phaseCount = (operation: string, phase: string) =>
  sumOf('dormouse_host_phase_duration_seconds_count', `operation="${operation}" phase="${phase}"`);

test('a host counts what a sandbox that sleeps and wakes has cost, by phase', async () => {
  expect([await phaseCount('boot', 'greet'), await phaseCount('pause', 'hold')]).toEqual([1, undefined]);
  await agent.client.pauseSandbox({ id: SANDBOX, generation: 1n });
  for (const phase of ['prepare', 'hold', 'freeze', 'capture', 'commit', 'free']) {
    expect([phase, await phaseCount('pause', phase)]).toEqual([phase, 1]);
  }
  const operations = 'dormouse_host_operation_duration_seconds';
  const ok = 'operation="pause" outcome="ok"';
  expect(await sumOf(`${operations}_count`, ok)).toBe(1);
  const total = await sumOf(`${operations}_sum`, ok);
  const parts = await sumOf('dormouse_host_phase_duration_seconds_sum', 'operation="pause"');
  expect(parts).toBeGreaterThan(0);
  expect(parts).toBeLessThanOrEqual(total!);
  expect(await sumOf('dormouse_host_sandboxes', 'state="paused"')).toBe(1);
  expect(await sumOf('dormouse_host_generations')).toBe(1);
  const whole = await sumOf('dormouse_host_generation_written_bytes_sum', 'part="memory"');
  expect(whole).toBeGreaterThan(1024 * 1024);
  expect(await sumOf('dormouse_host_generations_bytes')).toBeGreaterThan(whole!);

  await agent.client.resumeSandbox({ id: SANDBOX, generation: 2n });
  for (const phase of ['prepare', 'start', 'load', 'greet', 'wake']) {
    expect([phase, await phaseCount('restore', phase)]).toEqual([phase, 1]);
  }
  await expect.poll(() => phaseCount('restore', 'fill'), PATIENCE).toBe(1);
  const requests = await sumOf('dormouse_host_page_requests_total');
  expect(requests).toBeGreaterThan(0);
  const waits = 'dormouse_host_page_request_duration_seconds';
  expect(await sumOf(`${waits}_count`)).toBeGreaterThan(0);
  expect(await sumOf(`${waits}_sum`)).toBeGreaterThan(0);
  expect(await sumOf(`${waits}_bucket`, 'le="+Inf"')).toBe(await sumOf(`${waits}_count`));
  expect(await sumOf('dormouse_host_restored_bytes_total')).toBeGreaterThan(4096 * requests!);

  const call = await ExecCall.start(agent.client, { sandboxId: SANDBOX, argv: ['true'] });
  expect((await call.outcome()).exitCode).toBe(0);
  await agent.client.pauseSandbox({ id: SANDBOX, generation: 2n });
  // Only what has changed is written the second time.
  const both = await sumOf('dormouse_host_generation_written_bytes_sum', 'part="memory"');
  expect(both! - whole!).toBeGreaterThan(0);
  expect(both! - whole!).toBeLessThan(whole!);
  expect(await sumOf('dormouse_host_generation_written_bytes_count', 'part="memory"')).toBe(2);
});
