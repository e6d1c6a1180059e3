import { readdir, readFile } from 'node:fs/promises';

/** Ids of the processes whose command line contains all of the given words. */
export async function processesWith(...words: readonly string[]): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const line = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
    if (line !== '' && words.every((word) => line.includes(word))) found.push(pid);
  }
  return found;
}

/** Children of a process whose command line contains a word. */
export async function childrenWith(parent: number, word: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await processesWith(word)) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) found.push(pid);
  }
  return found;
}

/** Memory of a process in bytes, from /proc/PID/smaps_rollup and status. */
export interface ProcessMemory {
  /** Resident. */
  readonly rssBytes: number;
  /** Proportional set size: shared pages count by the number of those who share them. */
  readonly pssBytes: number;
}

/** Memory of a process right now. */
export async function processMemory(pid: number): Promise<ProcessMemory> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
  return { rssBytes: kib('Rss') * 1024, pssBytes: kib('Pss') * 1024 };
}

/** Whether a process exists and is no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return stat !== '' && stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
}
