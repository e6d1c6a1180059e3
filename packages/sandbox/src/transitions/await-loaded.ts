import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Served } from '@dormouse/page-server';
import type { MicroVm } from '@dormouse/vmm';

/** The rest of a guest's memory comes within a second or two; the bound is for a host that swaps. */
const LOAD_TIMEOUT_MS = 120_000;
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

/** Waits until all memory of a VM is there. The page server of a restore outlives an agent; this only watches it. */
export async function awaitLoaded(vm: MicroVm): Promise<Served | DormouseError> {
  const deadline = performance.now() + LOAD_TIMEOUT_MS;
  for (;;) {
    const loading = await vm.loading().catch(() => 'broken' as const);
    if (loading === 'done') return NOTHING_SERVED;
    if (loading === 'broken' || performance.now() > deadline) {
      return new DormouseError('restore_failed', 'the memory of the sandbox does not come');
    }
    await delay(LOAD_POLL_MS);
  }
}
