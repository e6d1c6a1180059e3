import { z } from 'zod';

/** What the host does with a sandbox by itself. */
export interface Policy {
  /** Seconds without activity until `onTimeout` happens; 0: never. */
  readonly timeoutSec: number;
  readonly onTimeout: 'pause' | 'kill';
  /** When its memory turns out damaged: boot it from its disk, or leave it paused. */
  readonly onMemoryLoss: 'reboot' | 'fail';
}

/** Of a sandbox nobody has said anything about: it runs until somebody ends it. */
export const DEFAULT_POLICY: Policy = { timeoutSec: 0, onTimeout: 'pause', onMemoryLoss: 'reboot' };

export const policySchema: z.ZodType<Policy> = z.object({
  timeoutSec: z.int().min(0),
  onTimeout: z.enum(['pause', 'kill']),
  onMemoryLoss: z.enum(['reboot', 'fail']),
});
