import type { Sandbox } from '../actor/sandbox.js';
import { type Files, REGION_PAGES, Witness, type WitnessState } from './witness.js';

const MIB = 1024 * 1024;
/** Enough for some of it to come after the guest runs. */
const MEMORY_FILE_BYTES = 6 * MIB;
const DISK_FILE_BYTES = MIB;

/** What a sandbox with a witness must have, whatever becomes of it. */
export interface Testimony {
  readonly pid: number;
  readonly nameless: string;
  readonly count: number;
  readonly files: Files;
  readonly values: readonly number[];
}

/** Starts a witness in a sandbox and gives it something to remember. */
export async function beginTestimony(sandbox: Sandbox): Promise<Testimony> {
  const witness = await Witness.start(sandbox);
  const files: Files = {
    memory: { big: await witness.put('memory', 'big', MEMORY_FILE_BYTES) },
    disk: { big: await witness.put('disk', 'big', DISK_FILE_BYTES) },
  };
  const values = Array.from({ length: REGION_PAGES }, (_, page) => (page % 5 === 0 ? 0 : page));
  await witness.poke(new Map(values.entries()));
  const { pid, nameless, count } = await witness.state();
  return { pid, nameless, count, files, values };
}

/** Changes what a sandbox has to remember. */
export async function continueTestimony(
  sandbox: Sandbox,
  before: Testimony,
  round: number,
): Promise<Testimony> {
  const witness = new Witness(sandbox);
  const files: Files = {
    memory: { ...before.files.memory, small: await witness.put('memory', 'small', 10_000 + round) },
    disk: { ...before.files.disk, small: await witness.put('disk', 'small', 10_000 + round) },
  };
  const changes = new Map<number, number>();
  for (let page = round % 7; page < REGION_PAGES; page += 7) changes.set(page, page % 3 === 0 ? 0 : round);
  await witness.poke(changes);
  const values = before.values.map((value, page) => changes.get(page) ?? value);
  return { ...before, files, values, count: await witness.bump() };
}

/** What of a testimony a sandbox does not have any more, or has otherwise; nothing when all is well. */
export async function contradictions(sandbox: Sandbox, testimony: Testimony): Promise<readonly string[]> {
  const witness = new Witness(sandbox);
  const { pid, nameless, count }: WitnessState = await witness.state();
  const wrongPages = await witness.wrong(testimony.values);
  const files = await witness.files();
  const found = {
    pid: [testimony.pid, pid],
    nameless: [testimony.nameless, nameless],
    count: [testimony.count, count],
    pages: ['', wrongPages.join()],
    files: [JSON.stringify(testimony.files), JSON.stringify(sorted(files))],
  };
  return Object.entries(found).flatMap(([what, [expected, is]]) =>
    expected === is ? [] : [`${what}: ${is} instead of ${expected}`],
  );
}

function sorted(files: Files): Files {
  const inOrder = (of: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(of).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return { memory: inOrder(files.memory), disk: inOrder(files.disk) };
}
