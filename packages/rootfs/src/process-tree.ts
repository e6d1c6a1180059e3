import { readdirSync, readFileSync } from 'node:fs';

/** Field 4 of /proc/PID/stat, counted from the state, which follows the command name and its bracket. */
const PARENT_INDEX = 1;

/** Ends a process and everything it has started, so that nobody is left who holds its pipes open. */
export function killTree(root: number): void {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? parentOf(pid) : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const doomed = [root];
  for (let at = 0; at < doomed.length; at++) doomed.push(...(children.get(doomed[at]!) ?? []));
  for (const pid of doomed) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself in the meantime.
    }
  }
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[PARENT_INDEX]);
  } catch {
    return undefined;
  }
}
