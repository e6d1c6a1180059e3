import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { systemErrorCode } from '@dormouse/errors';

/** Field 22 of proc(5) `/proc/PID/stat` counts from 1; fields from 3 on follow the command name in brackets. */
const STATE_INDEX = 0;
const START_TIME_INDEX = 19;

const OWNER = /^\.tmp-.+-(\d+)-(\d+)-([0-9a-f]{8})$/;

/** Everything that is not finished begins like this; committed generations never do. */
export const DRAFT_PREFIX = '.tmp-';

let bootTag: string | undefined;

/** The name of something unfinished of this process: whoever finds it can tell whether its maker still lives. */
export function draftName(what: string): string {
  return `${DRAFT_PREFIX}${what}-${process.pid}-${startTicks('self') ?? 0}-${currentBootTag()}`;
}

/** Whether something unfinished has lost its maker. */
export function isOrphan(name: string): boolean {
  const [, pid, ticks, boot] = OWNER.exec(name) ?? [];
  if (pid === undefined) return true;
  return boot !== currentBootTag() || startTicks(pid) !== Number(ticks);
}

/**
 * Start of a process in clock ticks since boot; undefined when it does not run. Throws where that cannot be found out:
 * a maker that may live is not taken for dead.
 */
function startTicks(pid: string): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[STATE_INDEX] === 'Z' || fields[STATE_INDEX] === 'X') return undefined;
  return Number(fields[START_TIME_INDEX]);
}

/** Process ids and ticks begin anew with every boot; this tells boots apart. */
function currentBootTag(): string {
  bootTag ??= createHash('sha256')
    .update(readFileSync('/proc/sys/kernel/random/boot_id'))
    .digest('hex')
    .slice(0, 8);
  return bootTag;
}
