import { readdir, readFile } from 'node:fs/promises';
import { systemErrorCode } from '@dormouse/errors';

/**
 * Processes that were started for a sandbox, found by the run directory on their command line. Needed where a crash
 * fell between the start of a VM and the journal entry that names it.
 */
export async function processesOf(runDir: string): Promise<readonly number[]> {
  const needle = `path=${runDir}/`;
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if ((await commandLineOf(pid)).includes(needle)) found.push(pid);
  }
  return found;
}

/** Empty for a process that has ended. Throws where it cannot be read: the process may be one of those looked for. */
async function commandLineOf(pid: number): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/cmdline`, 'latin1');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw error;
  }
}

/** Ends every process that was started for a sandbox and waits until none is left. */
export async function endProcessesOf(runDir: string, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const pids = await processesOf(runDir);
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`processes ${pids.join(', ')} survive SIGKILL`);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself in the meantime.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
