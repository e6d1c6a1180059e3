import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Guest } from '@dormouse/guest-link';

const READY_TIMEOUT_MS = 120_000;
const RETRY_MS = 250;

/**
 * Runs a command in a guest, as root, until it succeeds.
 *
 * @throws DormouseError `boot_failed` when it does not within two minutes
 */
export async function awaitReady(guest: Guest, command: string): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const process = await guest.startProcess({
      argv: ['/bin/sh', '-c', command],
      user: 'root',
      listed: false,
    });
    // What it prints means nothing, and must not hold it up.
    for await (const _ of process.output);
    const { exitCode } = await process.exit;
    if (exitCode === 0) return;
    if (performance.now() > deadline) {
      throw new DormouseError(
        'boot_failed',
        `the template did not become ready: ${command} ended with ${exitCode}`,
      );
    }
    await delay(RETRY_MS);
  }
}
