import { readFile } from 'node:fs/promises';
import { LATENCY_BOUNDS_US, type Manifest } from '@dormouse/sandbox';
import { expect, test } from 'vitest';
import { createHostMetrics } from './host-metrics.js';

const FIGURES = {
  sandboxes: new Map([
    ['running', 3],
    ['paused', 20],
  ] as const),
  generations: { count: 7, bytes: 123_456 },
  waiting: { standby: 1, ready: 2, pageServer: 3 },
  busyPageServers: 4,
};

/** Value of a sample, written as in the text format. */
async function sampleOf(metrics: ReturnType<typeof createHostMetrics>, sample: string): Promise<number> {
  const line = (await metrics.expose(FIGURES)).split('\n').find((one) => one.startsWith(`${sample} `));
  return Number(line?.slice(sample.length + 1));
}

test('every metric of a host is documented, and every documented one exists', async () => {
  const exposed = await createHostMetrics('h').expose(FIGURES);
  const names = [...exposed.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
  const architecture = await readFile(new URL('../../../../ARCHITECTURE.md', import.meta.url), 'utf8');
  const [, section = ''] = architecture.split('\n## Metrics\n');
  const [, ofHost = ''] = section.split('\n## ')[0]!.split('\nand of the host');
  const documented = [...ofHost.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  expect(names.toSorted()).toEqual(documented.toSorted());
  expect(names.length).toBeGreaterThan(10);
});

test('each sample says which host it is of, and each line is one of a sample or a comment', async () => {
  const exposed = await createHostMetrics('host "7"').expose(FIGURES);
  const samples = exposed.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(samples.length).toBeGreaterThan(20);
  for (const sample of samples) expect(sample).toMatch(/^dormouse_host_\w+\{.*host="host \\"7\\"".*\} \S+$/);
});

test('what there is, is what was counted last; states without sandboxes say so', async () => {
  const metrics = createHostMetrics('h');
  expect(await sampleOf(metrics, 'dormouse_host_sandboxes{state="paused",host="h"}')).toBe(20);
  expect(await sampleOf(metrics, 'dormouse_host_sandboxes{state="pausing",host="h"}')).toBe(0);
  expect(await sampleOf(metrics, 'dormouse_host_generations_bytes{host="h"}')).toBe(123_456);
  expect(await sampleOf(metrics, 'dormouse_host_waiting{kind="page-server",host="h"}')).toBe(3);
  expect(await metrics.expose({ ...FIGURES, sandboxes: new Map() })).toContain(
    'dormouse_host_sandboxes{state="paused",host="h"} 0',
  );
});

test('waits for pages are added up as a histogram', async () => {
  const metrics = createHostMetrics('h');
  const counts = LATENCY_BOUNDS_US.map(() => 0).concat(0);
  const served = { sentAhead: 0, pushed: 0, bytesSent: 4096, untilRunningMs: 1, untilLoadedMs: 2 };
  const latency = { p50: 0, p95: 0, max: 0 };
  counts[0] = 2;
  counts[2] = 1;
  metrics.observer.served({ ...served, requests: 3, requestLatencyUs: { ...latency, sum: 400, counts } });
  counts[LATENCY_BOUNDS_US.length] = 1;
  metrics.observer.served({
    ...served,
    requests: 4,
    requestLatencyUs: { ...latency, sum: 2_000_400, counts },
  });
  // Served to the end by an agent that is not there any more: nothing is known of it.
  metrics.observer.served({ ...served, requests: 0, requestLatencyUs: { ...latency, sum: 0, counts: [] } });
  const name = 'dormouse_host_page_request_duration_seconds';
  expect(await sampleOf(metrics, 'dormouse_host_page_requests_total{host="h"}')).toBe(7);
  expect(await sampleOf(metrics, `${name}_bucket{le="0.00005",host="h"}`)).toBe(4);
  expect(await sampleOf(metrics, `${name}_bucket{le="0.0001",host="h"}`)).toBe(4);
  expect(await sampleOf(metrics, `${name}_bucket{le="1",host="h"}`)).toBe(6);
  expect(await sampleOf(metrics, `${name}_bucket{le="+Inf",host="h"}`)).toBe(7);
  expect(await sampleOf(metrics, `${name}_count{host="h"}`)).toBe(7);
  expect(await sampleOf(metrics, `${name}_sum{host="h"}`)).toBe(2.0008);
});

test('a generation counts by its parts, one of a disk alone by that', async () => {
  const metrics = createHostMetrics('h');
  const file = (bytes: number) => ({ bytes, sha256: '' });
  const disk = { artifacts: { 'disk.qcow2': file(500) } } as unknown as Manifest;
  const full = {
    artifacts: {
      ...disk.artifacts,
      'memory.map': file(10),
      'memory.pages': file(90),
      'device.bin': file(70),
    },
  } as unknown as Manifest;
  metrics.observer.committed(disk);
  metrics.observer.committed(full);
  const sumOf = (part: string) =>
    sampleOf(metrics, `dormouse_host_generation_written_bytes_sum{host="h",part="${part}"}`);
  expect([await sumOf('disk'), await sumOf('memory'), await sumOf('devices')]).toEqual([1000, 100, 70]);
});
