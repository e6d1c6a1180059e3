import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Sandbox, SandboxProcess } from '@dormouse/sdk';
import type { Bench, Figure } from '../figure.js';
import { percentile, summarise } from '../statistics.js';

const READS_PER_SEC = 200;
const STREAMS = 50;
const SANDBOXES = 5;
const MS_PER_SEC = 1_000;

/** What is read, in turn. */
const READS: readonly ((client: Client, id: string) => Promise<unknown>)[] = [
  (client, id) => client.sandboxes.info(id),
  (client) => client.sandboxes.list().next(),
  (client, id) => client.sandboxes.info(id),
  (client) => client.events.list().next(),
  (client) => client.usage(),
  (client) => client.snapshots.list().next(),
];

/**
 * Reads at a fixed rate, whatever the answers take, beside streams of commands that each echo a line a second. Latencies
 * count from the moment a request was to be sent, so that a stall is seen by all that had to wait for it.
 */
export async function underLoad({ stack, quick, progress }: Bench): Promise<Figure[]> {
  const { client } = stack;
  const sandboxes: Sandbox[] = [];
  const streams: SandboxProcess[] = [];
  try {
    for (let index = 0; index < SANDBOXES; index++) sandboxes.push(await client.sandboxes.create());
    for (let index = 0; index < STREAMS; index++) {
      progress(`exec stream ${index + 1} of ${STREAMS}`);
      streams.push(await sandboxes[index % SANDBOXES]!.spawn({ cmd: 'cat', args: [] }));
    }
    const seconds = quick ? 15 : 60;
    progress(`${READS_PER_SEC} reads per second for ${seconds} s`);
    const errors: string[] = [];
    const echoes: number[] = [];
    const echoing = streams.map((stream, index) => echo(stream, index, seconds, echoes, errors));
    const reads = await readSteadily(client, sandboxes, seconds, errors);
    await Promise.all(echoing);
    return [
      figure(`API: ${READS_PER_SEC} mixed reads per second, beside ${STREAMS} exec streams`, reads, errors),
      figure(`exec stream: a line and its echo, ${STREAMS} at once beside those reads`, echoes, errors),
    ];
  } finally {
    for (const stream of streams) stream.close();
    for (const sandbox of sandboxes) await sandbox.delete();
  }
}

function figure(name: string, durations: readonly number[], errors: readonly string[]): Figure {
  const p99 = percentile(durations, 0.99);
  const text = `p99 ${p99.toFixed(1)} ms; no errors (${errors.length}${errors[0] === undefined ? '' : `: ${errors[0]}`})`;
  return { name, unit: 'ms', ...summarise(durations), target: { text, met: errors.length === 0 } };
}

async function readSteadily(
  client: Client,
  sandboxes: readonly Sandbox[],
  seconds: number,
  errors: string[],
): Promise<readonly number[]> {
  const durations: number[] = [];
  const open: Promise<void>[] = [];
  const startMs = performance.now();
  for (let index = 0; index < seconds * READS_PER_SEC; index++) {
    const dueMs = startMs + (index * MS_PER_SEC) / READS_PER_SEC;
    const early = dueMs - performance.now();
    if (early > 0) await delay(early);
    const read = READS[index % READS.length]!;
    open.push(
      read(client, sandboxes[index % sandboxes.length]!.id).then(
        () => void durations.push(performance.now() - dueMs),
        (error: unknown) => void errors.push(String(error)),
      ),
    );
  }
  await Promise.all(open);
  return durations;
}

/** Sends a line a second, each stream at another moment of it, and waits for each to come back. */
async function echo(
  stream: SandboxProcess,
  index: number,
  seconds: number,
  durations: number[],
  errors: string[],
): Promise<void> {
  try {
    await delay((index * MS_PER_SEC) / STREAMS);
    const events = stream[Symbol.asyncIterator]();
    for (let line = 0; line < seconds - 1; line++) {
      const sentMs = performance.now();
      await stream.stdin.write('line\n');
      for (let text = ''; !text.endsWith('\n'); ) {
        const { value, done } = await events.next();
        if (done === true) throw new Error('the stream has ended');
        if (value.type === 'stdout') text += Buffer.from(value.data).toString();
      }
      durations.push(performance.now() - sentMs);
      await delay(Math.max(0, sentMs + MS_PER_SEC - performance.now()));
    }
  } catch (error) {
    errors.push(String(error));
  }
}
