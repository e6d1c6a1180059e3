import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Served } from '@dormouse/page-server';
import type { MicroVm } from '@dormouse/vmm';

/**
 * How long no page may come. The rest of a guest's memory comes within a second or two; a large guest on a host that
 * swaps may take long in all, but not without a page.
 */
const STALL_TIMEOUT_MS = 120_000;
const LOAD_POLL_MS = 50;

/** Of a restore that another process has begun, nobody here knows more than that it is over. */
const NOTHING_SERVED: Served = {
  requests: 0,
  sentAhead: 0,
  pushed: 0,
  bytesSent: 0,
  untilRunningMs: 0,
  untilLoadedMs: 0,
  requestLatencyUs: { p50: 0, p95: 0, max: 0, sum: 0, counts: [] },
};

/**
 * Waits until all memory of a VM is there. The page server of a restore outlives an agent; this only watches it. Gives
 * up when the restore is broken, when the VMM does not answer, or when no page has come for `stallMs`.
 *
 * @param memoryPath file that holds the guest's memory: it grows with every page that comes
 * @param stallMs default two minutes
 */
export async function awaitLoaded(
  vm: Pick<MicroVm, 'loading'>,
  memoryPath: string,
  stallMs: number = STALL_TIMEOUT_MS,
): Promise<Served | DormouseError> {
  let blocks = -1;
  let movedAtMs = performance.now();
  for (;;) {
    const loading = await vm.loading().catch(() => 'broken' as const);
    if (loading === 'done') return NOTHING_SERVED;
    const now = await blocksOf(memoryPath);
    if (now !== blocks) {
      blocks = now;
      movedAtMs = performance.now();
    }
    if (loading === 'broken' || performance.now() - movedAtMs > stallMs) {
      return new DormouseError('restore_failed', 'the memory of the sandbox does not come');
    }
    await delay(LOAD_POLL_MS);
  }
}

/** Blocks that a file takes; as before where that cannot be found out. */
async function blocksOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ blocks }) => blocks,
    () => -1,
  );
}
