import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AgentHost, agentHost, NOTHING } from '../testing/agent-process.js';

const SANDBOX = `sb${'m'.repeat(20)}`;
const PATIENCE = { timeout: 120_000, interval: 200 } as const;

let agent: AgentHost;

beforeAll(async () => {
  agent = await agentHost({ DORMOUSE_METRICS_INTERVAL_SEC: '1' });
  const spec = { template: 'base' };
  await agent.client.createSandbox({ id: SANDBOX, generation: 1n, spec });
});

afterAll(async () => {
  await agent.client.destroySandbox({ id: SANDBOX });
  const left = await agent.presence();
  await agent[Symbol.asyncDispose]();
  expect(left).toEqual(NOTHING);
});

/** When the points are of that are kept: those before now. */
async function kept(): Promise<readonly bigint[]> {
  const toMs = BigInt(Date.now() - 1);
  const { points } = await agent.client.getMetrics({ sandboxId: SANDBOX, toMs });
  return points.map(({ atMs }) => atMs);
}

test('the history of a sandbox outlives the agent and its sleep, in which it does not grow', async () => {
  const { sandbox: before } = await agent.client.getSandbox({ id: SANDBOX });
  await expect.poll(async () => (await kept()).length, PATIENCE).toBeGreaterThanOrEqual(3);
  // Looking is no use.
  const { sandbox: after } = await agent.client.getSandbox({ id: SANDBOX });
  expect(after?.lastActiveAtMs).toBe(before?.lastActiveAtMs);

  const { points } = await agent.client.getMetrics({ sandboxId: SANDBOX });
  const times = points.map(({ atMs }) => Number(atMs));
  expect(times).toEqual(times.toSorted((one, other) => one - other));
  expect(Date.now() - times.at(-1)!).toBeLessThan(10_000);
  expect(points.at(-1)?.uptimeMs).toBeGreaterThan(points[0]!.uptimeMs);
  expect(points.map(({ cpuCount }) => cpuCount)).toEqual(points.map(() => 1));

  await agent.end('SIGHUP');
  await agent.start();
  expect((await kept()).slice(0, 3)).toEqual(times.slice(0, 3).map(BigInt));

  await agent.client.pauseSandbox({ id: SANDBOX, generation: 1n });
  const asleep = await kept();
  expect(asleep.length).toBeGreaterThanOrEqual(3);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  expect(await kept()).toEqual(asleep);
  const all = await agent.client.getMetrics({ sandboxId: SANDBOX });
  expect(all.points).toHaveLength(asleep.length);
  const first = { fromMs: asleep[1]!, toMs: asleep[1]! };
  expect((await agent.client.getMetrics({ sandboxId: SANDBOX, ...first })).points).toHaveLength(1);

  await agent.client.resumeSandbox({ id: SANDBOX, generation: 2n });
  await expect.poll(async () => (await kept()).length, PATIENCE).toBeGreaterThan(asleep.length);
  expect((await kept()).slice(0, asleep.length)).toEqual(asleep);
});
