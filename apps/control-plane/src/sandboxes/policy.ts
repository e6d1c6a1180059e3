import { OnMemoryLoss, OnTimeout } from '@dormouse/host-api';
import type { SandboxRecord } from '@dormouse/store';

/** What the host does with a sandbox by itself, in the host's terms. */
export function hostPolicy(record: Pick<SandboxRecord, 'timeout_sec' | 'on_timeout' | 'on_memory_loss'>): {
  timeoutSec: number;
  onTimeout: OnTimeout;
  onMemoryLoss: OnMemoryLoss;
} {
  return {
    timeoutSec: record.timeout_sec,
    onTimeout: record.on_timeout === 'kill' ? OnTimeout.KILL : OnTimeout.PAUSE,
    onMemoryLoss: record.on_memory_loss === 'fail' ? OnMemoryLoss.FAIL : OnMemoryLoss.REBOOT,
  };
}
