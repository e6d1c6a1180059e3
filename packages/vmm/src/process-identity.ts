import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { systemErrorCode } from '@dormouse/errors';

/** Field 22 of /proc/PID/stat counts from 1 behind the command name, which may itself contain spaces and brackets. */
const STATE_INDEX = 0;
const START_TIME_INDEX = 19;

const DEATH_POLL_MS = 5;

/**
 * Start time of a process in clock ticks since boot, or undefined when no such process runs (zombies do not run).
 * Source: proc(5), `/proc/pid/stat`, fields 3 (state) and 22 (starttime).
 */
export async function processStartTicks(pid: number): Promise<number | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    // Anything else says nothing about the process: one that runs must not be taken for one that has ended.
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[STATE_INDEX];
  if (state === 'Z' || state === 'X') return undefined;
  const ticks = Number(fields[START_TIME_INDEX]);
  return Number.isSafeInteger(ticks) ? ticks : undefined;
}

/** Whether the process with this pid is still the one that started at `startTicks`. */
export async function isSameProcess(pid: number, startTicks: number): Promise<boolean> {
  return (await processStartTicks(pid)) === startTicks;
}

/** Waits until the process is gone. Answers false when it still runs after `timeoutMs`. */
export async function waitForDeath(pid: number, startTicks: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (await isSameProcess(pid, startTicks)) {
    if (performance.now() > deadline) return false;
    await delay(DEATH_POLL_MS);
  }
  return true;
}
