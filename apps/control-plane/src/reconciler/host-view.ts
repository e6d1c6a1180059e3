import {
  type Sandbox as HostSandbox,
  SandboxState as HostSandboxState,
  PauseCause,
} from '@dormouse/host-api';
import { pausedAt, resumedBy, startedAt } from '../sandboxes/host-times.js';
import type { HostView } from './decide.js';

/** What a host reports, as decisions see it; undefined for a state that this version does not know. */
export function toHostView(sandbox: HostSandbox): HostView | undefined {
  const state = hostState(sandbox.state);
  if (state === undefined) return undefined;
  return {
    id: sandbox.id,
    generation: Number(sandbox.generation),
    state,
    reason: sandbox.reason,
    ...startedAt(sandbox),
    pausedAt: pausedAt(sandbox),
    resumedBy: resumedBy(sandbox),
    pauseCause: pauseCause(sandbox),
  };
}

function pauseCause({ pauseCause: cause }: HostSandbox): HostView['pauseCause'] {
  switch (cause) {
    case PauseCause.TIMEOUT:
      return 'timeout';
    case PauseCause.SHUTDOWN:
      return 'shutdown';
    case PauseCause.VM_ENDED:
      return 'vm_ended';
    default:
      return null;
  }
}

function hostState(state: HostSandboxState): HostView['state'] | undefined {
  switch (state) {
    case HostSandboxState.PENDING:
      return 'pending';
    case HostSandboxState.RUNNING:
      return 'running';
    case HostSandboxState.SNAPSHOTTING:
      return 'snapshotting';
    case HostSandboxState.PAUSING:
      return 'pausing';
    case HostSandboxState.PAUSED:
      return 'paused';
    case HostSandboxState.RESUMING:
      return 'resuming';
    case HostSandboxState.STOPPING:
      return 'stopping';
    case HostSandboxState.STOPPED:
      return 'stopped';
    default:
      return undefined;
  }
}
