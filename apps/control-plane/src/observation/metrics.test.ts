import type { Metrics } from '@dormouse/contracts';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';

let plane: TestControlPlane;
let api: ApiClient;
beforeAll(async () => {
  plane = await startTestControlPlane();
  api = new ApiClient(plane);
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

const FIRST_MS = Date.parse('2036-01-02T03:04:05.678Z');

/** A host that keeps three points of everybody and says what it was asked for. */
function keepPoints() {
  const asked: { readonly fromMs?: bigint; readonly toMs?: bigint }[] = [];
  plane.host.script({
    getMetrics: ({ fromMs, toMs }) => {
      asked.push({ ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) });
      return {
        points: [0, 10_000, 20_000].map((ms) => ({
          atMs: BigInt(FIRST_MS + ms),
          uptimeMs: BigInt(ms),
          cpuCount: 2,
          memoryTotalBytes: BigInt(Number.MAX_SAFE_INTEGER),
        })),
      };
    },
  });
  return asked;
}

test('the history of a sandbox is told, running or paused', async () => {
  const { id } = await api.create();
  const asked = keepPoints();
  for (const step of ['running', 'paused']) {
    if (step === 'paused') expect((await api.post(`/v1/sandboxes/${id}/pause`)).status).toBe(200);
    const { status, body } = await api.ask<Metrics>('GET', `/v1/sandboxes/${id}/metrics`);
    expect([step, status, body.points.map(({ at }) => at)]).toEqual([
      step,
      200,
      ['2036-01-02T03:04:05.678Z', '2036-01-02T03:04:15.678Z', '2036-01-02T03:04:25.678Z'],
    ]);
    expect(body.points[0]).toEqual({
      at: '2036-01-02T03:04:05.678Z',
      uptime_ms: 0,
      cpu_count: 2,
      cpu_busy_ms: 0,
      cpu_idle_ms: 0,
      memory_total_bytes: Number.MAX_SAFE_INTEGER,
      memory_available_bytes: 0,
      memory_cached_bytes: 0,
      disk_total_bytes: 0,
      disk_used_bytes: 0,
      disk_available_bytes: 0,
      process_count: 0,
    });
  }
  expect(asked).toEqual([{}, {}]);
});

test('the host is asked for what is wanted, and for nothing that cannot be', async () => {
  const { id } = await api.create();
  const asked = keepPoints();
  const path = `/v1/sandboxes/${id}/metrics`;
  const [start, end] = ['2036-01-02T03:04:05.678Z', '2036-01-02T03:04:05.679Z'];
  expect((await api.ask('GET', `${path}?start=${start}&end=${end}`)).status).toBe(200);
  expect((await api.ask('GET', `${path}?end=${start}`)).status).toBe(200);
  expect(asked).toEqual([
    { fromMs: BigInt(FIRST_MS), toMs: BigInt(FIRST_MS + 1) },
    { toMs: BigInt(FIRST_MS) },
  ]);
  expect(await api.refusal('GET', `${path}?start=${end}&end=${start}`)).toMatchObject({
    status: 400,
    code: 'invalid_request',
    message: 'end: must not be before start',
  });
  expect(asked).toHaveLength(2);
});
