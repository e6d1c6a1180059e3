import type { LifecyclePosition, SandboxState } from '@dormouse/lifecycle';
import type { EventType } from './event-record.js';

/**
 * What is told of a move; undefined for one that only says that somebody is at work. `snapshotting` ends where it
 * began, and what came of it is told by itself.
 */
export function eventOfMove(from: SandboxState, to: LifecyclePosition['state']): EventType | undefined {
  switch (to) {
    case 'running':
      if (from === 'pending') return 'sandbox.started';
      if (from === 'pausing') return 'sandbox.pause_failed';
      return from === 'snapshotting' || from === 'running' ? undefined : 'sandbox.resumed';
    case 'paused':
      return from === 'resuming' ? 'sandbox.resume_failed' : 'sandbox.paused';
    case 'stopped':
      return from === 'stopping' ? 'sandbox.deleted' : 'sandbox.stopped';
    case 'error':
      return 'sandbox.failed';
    case 'pending':
      return 'sandbox.created';
    case 'snapshotting':
    case 'pausing':
    case 'resuming':
    case 'stopping':
      return undefined;
  }
}
