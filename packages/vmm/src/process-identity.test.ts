import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isSameProcess, processStartTicks, waitForDeath } from './process-identity.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

/** Larger than any pid: the kernel's own limit is 4,194,304. */
const NO_PID = 4_194_305;
const PATIENCE_MS = 30_000;

async function started(
  program: string,
  args: readonly string[],
): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn(program, args, { stdio: 'ignore' });
  await once(child, 'spawn');
  return child as ChildProcess & { readonly pid: number };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

describe('the identity of a process', () => {
  test('stays the same while it lives and is nobody’s afterwards', async () => {
    const child = await started('sleep', ['600']);
    try {
      const ticks = await processStartTicks(child.pid);
      expect(ticks).toBeGreaterThan(0);
      expect(await processStartTicks(child.pid)).toBe(ticks);
      expect(await isSameProcess(child.pid, ticks!)).toBe(true);
      expect(await isSameProcess(child.pid, ticks! + 1)).toBe(false);
      await ended(child);
      expect(await processStartTicks(child.pid)).toBeUndefined();
      expect(await isSameProcess(child.pid, ticks!)).toBe(false);
    } finally {
      await ended(child);
    }
  });

  test('is that of a pid that never was', async () => {
    expect(await processStartTicks(NO_PID)).toBeUndefined();
  });

  test('does not depend on what the program is called', async () => {
    await using directory = await temporaryDirectory();
    const program = join(directory.path, 'x) R 1 (7 7');
    await copyFile('/bin/sleep', program);
    const child = await started(program, ['600']);
    try {
      const own = await processStartTicks(process.pid);
      expect(await processStartTicks(child.pid)).toBeGreaterThan(own!);
    } finally {
      await ended(child);
    }
  });

  test('ends with the process, not with its burial', async () => {
    // The shell becomes a program that never waits for its child, which therefore stays a zombie.
    const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      const zombie = Number(line.toString());
      const ticks = await processStartTicks(zombie);
      if (ticks !== undefined) expect(await waitForDeath(zombie, ticks, PATIENCE_MS)).toBe(true);
      expect(await processStartTicks(zombie)).toBeUndefined();
      expect(() => process.kill(zombie, 0)).not.toThrow();
    } finally {
      await ended(parent);
    }
  });
});

describe('waiting for the death of a process', () => {
  test('answers false when it lives on', async () => {
    const child = await started('sleep', ['600']);
    try {
      expect(await waitForDeath(child.pid, (await processStartTicks(child.pid))!, 20)).toBe(false);
    } finally {
      await ended(child);
    }
  });

  test('answers true when it ends, and at once when it is somebody else', async () => {
    const child = await started('sleep', ['600']);
    const ticks = (await processStartTicks(child.pid))!;
    expect(await waitForDeath(child.pid, ticks - 1, 0)).toBe(true);
    const death = waitForDeath(child.pid, ticks, PATIENCE_MS);
    child.kill('SIGKILL');
    expect(await death).toBe(true);
  });
});
