import { setTimeout as delay } from 'node:timers/promises';
import type { Sandbox, SandboxProcess } from '@dormouse/sdk';
import type { Bench, Figure } from '../figure.js';
import { percentile, summarise } from '../statistics.js';
import { withSandboxes } from './with-sandboxes.js';

const REQUESTS_PER_SECOND = 200;
const SANDBOXES = 5;
const STREAMS = 50;
const PATIENCE_MS = 60_000;
/** Something is said on every stream, by a process that needs next to nothing. */
const TICKING = 'import time\nwhile True:\n print("tick", flush=True)\n time.sleep(1)';

/** How one exec stream fared. */
interface Stream {
  readonly process: SandboxProcess;
  ticks: number;
  /** It ended before it was told to. */
  broken: boolean;
}

/** Reads of every kind at a fixed rate, each counted from the moment at which it was due, beside open exec streams. */
export function mixedLoad(bench: Bench): Promise<Figure> {
  return withSandboxes(bench, SANDBOXES, async (sandboxes) => {
    bench.progress(`${STREAMS} exec streams`);
    const streams: Stream[] = [];
    while (streams.length < STREAMS) streams.push(await tick(sandboxes[streams.length % SANDBOXES]!));
    const before = streams.map(({ ticks }) => ticks);
    const { durations, failures } = await reads(bench);
    const silent = streams.filter(({ ticks }, index) => ticks === before[index]).length;
    const broken = streams.filter((stream) => stream.broken).length;
    for (const { process } of streams) await process.kill();
    const p99 = percentile(durations, 0.99).toFixed(1);
    return {
      name: `${REQUESTS_PER_SECOND} reads a second beside ${STREAMS} exec streams`,
      unit: 'ms',
      ...summarise(durations),
      target: {
        text: `no error (${failures} requests, ${broken} streams broken, ${silent} silent; p99 ${p99} ms)`,
        met: failures + broken + silent === 0,
      },
    };
  });
}

async function reads({ stack: { apiUrl, apiKey }, warm, quick, progress }: Bench): Promise<{
  readonly durations: readonly number[];
  readonly failures: number;
}> {
  const paths = [
    `/v1/sandboxes/${warm.id}`,
    '/v1/sandboxes?limit=20',
    '/v1/sandboxes?state=running',
    '/v1/snapshots',
    '/v1/events?limit=20',
    '/v1/me',
    '/v1/usage',
    '/v1/projects',
  ];
  const seconds = quick ? 10 : 60;
  progress(`${REQUESTS_PER_SECOND} reads a second, for ${seconds} s`);
  const durations: number[] = [];
  const failures: unknown[] = [];
  const asked: Promise<void>[] = [];
  const beganMs = performance.now();
  for (let index = 0; index < seconds * REQUESTS_PER_SECOND; index++) {
    const dueMs = beganMs + (index * 1000) / REQUESTS_PER_SECOND;
    const earlyMs = dueMs - performance.now();
    if (earlyMs > 1) await delay(earlyMs);
    const read = async (): Promise<void> => {
      const response = await fetch(`${apiUrl}${paths[index % paths.length]}`, {
        headers: { 'X-API-Key': apiKey },
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`answered ${response.status}`);
      durations.push(performance.now() - dueMs);
    };
    asked.push(read().catch((error: unknown) => void failures.push(error)));
  }
  await Promise.all(asked);
  if (failures.length > 0) progress(`the first that failed: ${String(failures[0])}`);
  return { durations, failures: failures.length };
}

async function tick(sandbox: Sandbox): Promise<Stream> {
  const process = await sandbox.spawn({ cmd: 'python3', args: ['-c', TICKING] }, { stdin: false });
  const stream: Stream = { process, ticks: 0, broken: false };
  void (async () => {
    for await (const event of process) if (event.type === 'stdout') stream.ticks += 1;
  })()
    .catch(() => undefined)
    .then(async () => {
      const end = await process.wait().catch(() => undefined);
      stream.broken = end?.signal !== 'SIGKILL';
    });
  return stream;
}
