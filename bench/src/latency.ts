import { Sandbox } from '@dormouse/sdk';
import { type Bench, type Figure, repeat, timed } from './figure.js';
import { percentile, summarise } from './statistics.js';

const ECHO = { cmd: 'echo', args: ['ready'] } as const;

/** From the request for a sandbox to the first output of its first command. */
export async function createToFirstOutput({ stack, quick, progress }: Bench): Promise<Figure> {
  const durations: number[] = [];
  const commands: number[] = [];
  const count = quick ? 3 : 20;
  for (let index = 0; index < count; index++) {
    progress(`create ${index + 1} of ${count}`);
    const start = performance.now();
    await using sandbox = await Sandbox.create({ apiUrl: stack.apiUrl, apiKey: stack.apiKey });
    const { ms } = await timed(() => sandbox.exec(ECHO));
    durations.push(performance.now() - start);
    commands.push(ms);
  }
  const { median, p95 } = summarise(durations);
  const baseline = { what: 'its first command alone', median: summarise(commands).median };
  return {
    name: 'create → first output, through the API',
    unit: 'ms',
    median,
    p95,
    count,
    baseline,
    ratio: median / baseline.median,
  };
}

/** One short command in a warm guest, through the whole stack. */
export async function execRoundTrip({ warm, quick, progress }: Bench): Promise<Figure> {
  progress('exec round trips');
  const count = quick ? 20 : 100;
  const { median, p95 } = summarise(await repeat(count, () => warm.exec(ECHO)));
  const reads = summarise(await repeat(count, () => warm.refresh()));
  const baseline = { what: 'reading the sandbox over the API', median: reads.median };
  return {
    name: 'exec round trip, warm guest',
    unit: 'ms',
    median,
    p95,
    count,
    baseline,
    ratio: median / baseline.median,
  };
}

/** What authentication and the database add to a request: reading a sandbox needs nothing else. */
export async function apiOverhead({ warm, quick, progress }: Bench): Promise<Figure> {
  progress('reading a sandbox');
  const durations = await repeat(quick ? 200 : 1_000, () => warm.refresh());
  const { median, p95, count } = summarise(durations);
  const p99 = percentile(durations, 0.99);
  const target = { text: `p99 ≤ 5 ms (it is ${p99.toFixed(1)} ms)`, met: p99 <= 5 };
  return { name: 'API: reading a sandbox', unit: 'ms', median, p95, count, target };
}

/** The same command while another one floods its output (hazard 12: at most twice as slow as when idle). */
export async function execDuringFlood({ warm, quick, progress }: Bench): Promise<Figure> {
  progress('exec while another command floods');
  const count = quick ? 10 : 40;
  const idle = summarise(await repeat(count, () => warm.exec(ECHO)));
  const flood = await warm.spawn('head -c 1000000000 /dev/zero', { stdin: false });
  let flooding = true;
  let bytes = 0;
  const drained = (async () => {
    for await (const event of flood) if (event.type === 'stdout') bytes += event.data.length;
    flooding = false;
  })();
  const durations: number[] = [];
  while (flooding && durations.length < count) durations.push((await timed(() => warm.exec(ECHO))).ms);
  const { median, p95 } = summarise(durations);
  await drained;
  if (bytes !== 1_000_000_000) throw new Error(`the flood delivered ${bytes} bytes instead of 1,000,000,000`);
  const baseline = { what: 'the same command when idle', median: idle.median };
  return {
    name: 'exec round trip during 1 GB of output',
    unit: 'ms',
    median,
    p95,
    count: durations.length,
    baseline,
    ratio: median / idle.median,
    target: { text: '≤ 2 ×', met: median <= 2 * idle.median },
  };
}
