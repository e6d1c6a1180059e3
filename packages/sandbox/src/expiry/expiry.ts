import type { Policy } from '../config/policy.js';
import type { HostState } from '../records/journal.js';

/** A sandbox, as far as its timeout is concerned. Times are of a clock that does not jump, in milliseconds. */
export interface ExpiryView {
  readonly state: HostState;
  readonly policy: Policy;
  /** It is `stopping` because its time has passed, not because somebody asked for that. */
  readonly removing: boolean;
  /** Something is under way in it. */
  readonly inUse: boolean;
  readonly lastActiveMs: number;
  /** The attempts in a row that failed, and when the last one did. */
  readonly failed?: { readonly attempts: number; readonly atMs: number } | undefined;
}

/** What is to be done about a sandbox now. */
export type ExpiryDecision = 'wait' | 'pause' | 'kill';

const MS_PER_SEC = 1_000;
const FIRST_RETRY_MS = 5_000;
const MAX_RETRY_MS = 300_000;

/** How long to wait after so many failures in a row: the host may be out of room for a while. */
export function retryDelayMs(attempts: number): number {
  return Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempts - 1));
}

/**
 * Whether the time of a sandbox has passed. Only one that runs and in which nothing is under way can time out, so
 * nothing is ever cut in the middle; a removal that has begun is finished. After a failure it is tried again, ever more
 * rarely, until somebody uses it.
 */
export function decideExpiry(view: ExpiryView, nowMs: number): ExpiryDecision {
  const { timeoutSec, onTimeout } = view.policy;
  if (view.removing) return isItsTurn(view, nowMs) ? 'kill' : 'wait';
  if (view.state !== 'running' || timeoutSec === 0 || view.inUse) return 'wait';
  if (nowMs - view.lastActiveMs < timeoutSec * MS_PER_SEC) return 'wait';
  return isItsTurn(view, nowMs) ? onTimeout : 'wait';
}

/** Whether it has not failed since its last use, or long enough ago. */
function isItsTurn({ failed, lastActiveMs }: ExpiryView, nowMs: number): boolean {
  if (failed === undefined || failed.atMs < lastActiveMs) return true;
  return nowMs - failed.atMs >= retryDelayMs(failed.attempts);
}
