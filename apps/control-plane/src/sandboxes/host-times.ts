import { type Sandbox as HostSandbox, ResumedBy } from '@dormouse/host-api';

/** The times a host reports for a sandbox that runs. */
export function startedAt(sandbox: HostSandbox): { startedAt: Date; lastActiveAt: Date } {
  const started = new Date(Number(sandbox.startedAtMs) || Date.now());
  const active = new Date(Number(sandbox.lastActiveAtMs));
  return { startedAt: started, lastActiveAt: active > started ? active : started };
}

/** Since when a host reports a sandbox to be paused. */
export function pausedAt(sandbox: HostSandbox): Date {
  return new Date(Number(sandbox.pausedAtMs) || Date.now());
}

/** How the present VM of a sandbox came to life; null: it was created so. */
export function resumedBy(sandbox: HostSandbox): 'memory' | 'reboot' | null {
  switch (sandbox.resumedBy) {
    case ResumedBy.MEMORY:
      return 'memory';
    case ResumedBy.REBOOT:
      return 'reboot';
    case ResumedBy.UNSPECIFIED:
      return null;
  }
}
