import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { endProcessesOf, processesOf } from './leftovers.js';

/** A process that looks, by its arguments, as if it served this run directory. */
async function pretender(runDir: string): Promise<ChildProcess & { readonly pid: number }> {
  const argument = `socket,id=qmp,path=${runDir}/qmp.sock,server=on`;
  const child = spawn('sh', ['-c', 'sleep 600 & wait', argument], { stdio: 'ignore', detached: true });
  await once(child, 'spawn');
  return child as ChildProcess & { readonly pid: number };
}

async function exitOf(child: ChildProcess): Promise<string> {
  if (child.signalCode === null && child.exitCode === null) await once(child, 'exit');
  return child.signalCode ?? String(child.exitCode);
}

/** The pretender's own child does not carry the argument, so it is ended by its group. */
function endGroup({ pid }: { readonly pid: number }): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left.
  }
}

describe('processes of a sandbox', () => {
  test('are found by their run directory and by nothing that only begins like it', async () => {
    await using directory = await temporaryDirectory();
    const mine = await pretender(`${directory.path}/sb1/run`);
    const other = await pretender(`${directory.path}/sb1/run2`);
    try {
      await expect.poll(() => processesOf(`${directory.path}/sb1/run`)).toEqual([mine.pid]);
      // For a moment a shell that has forked is there twice.
      await expect
        .poll(() => processesOf(`${directory.path}/sb1`))
        .toEqual([mine.pid, other.pid].toSorted((a, b) => a - b));
      expect(await processesOf(`${directory.path}/sb`)).toEqual([]);
    } finally {
      endGroup(mine);
      endGroup(other);
    }
  });

  test('hazard 16: are all ended, and nobody else', async () => {
    await using directory = await temporaryDirectory();
    const runDir = `${directory.path}/run`;
    const mine = [await pretender(runDir), await pretender(runDir), await pretender(runDir)];
    const other = await pretender(`${directory.path}/other`);
    try {
      await expect.poll(() => processesOf(runDir)).toHaveLength(3);
      await endProcessesOf(runDir);
      expect(await processesOf(runDir)).toEqual([]);
      expect(await Promise.all(mine.map(exitOf))).toEqual(['SIGKILL', 'SIGKILL', 'SIGKILL']);
      expect(await processesOf(`${directory.path}/other`)).toEqual([other.pid]);
    } finally {
      for (const child of [...mine, other]) endGroup(child);
    }
  });

  test('that are none are no trouble', async () => {
    await endProcessesOf('/nowhere/run');
  });
});
