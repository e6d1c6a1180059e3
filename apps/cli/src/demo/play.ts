import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Client, Sandbox } from '@dormouse/sdk';
import { humanBytes } from '../terminal/human.js';
import { askCounter, startCounter } from './counter.js';
import { readLetter, SCENES } from './scenes.js';
import { describeTraces, remainsOf, vmTraces } from './traces.js';

/** Runs one step and keeps how long it took, together with what is to be said about it. */
export type Timed = <T>(title: string, work: () => Promise<T>, say: (value: T) => string) => Promise<T>;

const GONE_TIMEOUT_MS = 5_000;
const LOOK_EVERY_MS = 20;
const SPAWNED = 2;
const FORKED = 2;
const itself = (said: string): string => said;

/**
 * The life of a sandbox: used, paused, resumed, kept, multiplied. Checks everything it claims, and leaves nothing.
 *
 * @param dataDir of the `up` it talks to, to see what is left of a paused sandbox
 */
export async function playDemo(client: Client, dataDir: string, timed: Timed): Promise<void> {
  const others: Sandbox[] = [];
  let snapshot: string | undefined;
  const metadata = { made: 'by the demo' };
  await using sandbox = await timed(
    'make a sandbox',
    () => client.sandboxes.create({ metadata }),
    ({ id }) => id,
  );
  try {
    for (const { title, play } of SCENES) await timed(title, () => play(sandbox), itself);
    const counter = await timed(
      'start a counter',
      () => startCounter(sandbox),
      ({ pid, count }) => `process ${pid} has come to ${count}`,
    );

    const traces = vmTraces(dataDir, sandbox.id);
    await timed(
      'pause',
      () => sandbox.pause(),
      ({ state }) => state,
    );
    await timed('look for what is left', () => leftOf(traces), itself);
    await timed(
      'resume',
      () => sandbox.resume(),
      ({ resumedBy }) => `by ${resumedBy}`,
    );
    const awake = await timed(
      'ask the counter',
      () => askCounter(sandbox, counter),
      ({ count }) => `its memory is there, and it is at ${count}`,
    );
    await timed('read the file again', () => readLetter(sandbox), itself);

    const kept = await timed(
      'keep this moment',
      () => sandbox.snapshot({ description: 'kept by the demo' }),
      ({ name, sizeBytes, totalBytes }) =>
        `${name}, ${humanBytes(sizeBytes)} of its own, ${humanBytes(totalBytes)} in all`,
    );
    snapshot = kept.name;
    const spawned = await timed(
      `spawn ${SPAWNED} from it`,
      () => spawn(client, kept.name, metadata, others),
      (made) => made.map(({ id }) => id).join(', '),
    );
    await timed(
      'ask their counters',
      () => Promise.all(spawned.map((one) => askCounter(one, awake))),
      (answers) => `the same memory in both, at ${answers.map(({ count }) => count).join(' and ')}`,
    );
    const forked = await timed(
      `fork into ${FORKED}`,
      () => fork(sandbox, others),
      (made) => made.map(({ id }) => id).join(', '),
    );
    await timed(
      'ask their counters',
      () => Promise.all(forked.map((one) => askCounter(one, awake))),
      (answers) => `the same memory in both, at ${answers.map(({ count }) => count).join(' and ')}`,
    );
  } finally {
    await timed(
      'remove everything',
      () => removeAll(client, [sandbox, ...others], snapshot),
      (count) => `${count} sandboxes${snapshot === undefined ? '' : ' and the snapshot'}`,
    );
  }
}

/**
 * Looks until nothing is left: the kernel takes a moment to take a process apart. The step's time tells how long.
 *
 * @throws DormouseError `internal` when something is left
 */
async function leftOf(traces: ReturnType<typeof vmTraces>): Promise<string> {
  if (traces === undefined) return 'cannot be seen from here';
  const until = performance.now() + GONE_TIMEOUT_MS;
  let remains = remainsOf(traces);
  while (remains.length > 0 && performance.now() < until) {
    await delay(LOOK_EVERY_MS);
    remains = remainsOf(traces);
  }
  if (remains.length === 0) return `nothing: ${describeTraces(traces)} are gone`;
  throw new DormouseError('internal', `there is still ${remains.join(', ')} of ${describeTraces(traces)}`);
}

async function spawn(
  client: Client,
  template: string,
  metadata: Readonly<Record<string, string>>,
  others: Sandbox[],
): Promise<readonly Sandbox[]> {
  const create = async (): Promise<Sandbox> => {
    const made = await client.sandboxes.create({ template, metadata });
    others.push(made);
    return made;
  };
  return settle(await Promise.allSettled(Array.from({ length: SPAWNED }, create)));
}

async function fork(sandbox: Sandbox, others: Sandbox[]): Promise<readonly Sandbox[]> {
  const children = await sandbox.fork(FORKED);
  for (const child of children) if (child.sandbox !== undefined) others.push(child.sandbox);
  return children.map((child) => {
    if (child.sandbox !== undefined) return child.sandbox;
    throw child.error;
  });
}

/** Waits for all before the first failure counts, so that nothing is made that nobody removes. */
function settle<T>(outcomes: readonly PromiseSettledResult<T>[]): readonly T[] {
  return outcomes.map((outcome) => {
    if (outcome.status === 'fulfilled') return outcome.value;
    throw outcome.reason;
  });
}

async function removeAll(
  client: Client,
  sandboxes: readonly Sandbox[],
  snapshot: string | undefined,
): Promise<number> {
  const removals = sandboxes.map((one) => one.delete());
  if (snapshot !== undefined) removals.push(client.snapshots.delete(snapshot));
  settle(await Promise.allSettled(removals));
  return sandboxes.length;
}
