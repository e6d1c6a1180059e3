import { DormouseError } from '@dormouse/errors';

/** Every state of a sandbox, in the order of a life. */
export const SANDBOX_STATES = [
  'pending',
  'running',
  'snapshotting',
  'pausing',
  'paused',
  'resuming',
  'stopping',
  'stopped',
  'error',
] as const;

/** Where a sandbox is in its life. */
export type SandboxState = (typeof SANDBOX_STATES)[number];

/**
 * Legal moves. A failed pause or snapshot leads back to `running`, a failed resume back to `paused`; neither
 * ever destroys. `stopped` without `stopping` is a VM that ended by itself.
 */
const MOVES: { readonly [From in SandboxState]: readonly SandboxState[] } = {
  pending: ['running', 'stopping', 'error'],
  running: ['snapshotting', 'pausing', 'stopping', 'stopped'],
  snapshotting: ['running', 'stopping', 'stopped'],
  pausing: ['paused', 'running', 'stopping', 'stopped'],
  paused: ['resuming', 'stopping'],
  resuming: ['running', 'paused', 'stopping'],
  stopping: ['stopped'],
  stopped: [],
  error: [],
};

/** The states that may follow `from`. */
export function movesFrom(from: SandboxState): readonly SandboxState[] {
  return MOVES[from];
}

/** Whether a sandbox may go from one state to the other in one move. */
export function canMove(from: SandboxState, to: SandboxState): boolean {
  return MOVES[from].includes(to);
}

/**
 * Refuses an illegal move.
 *
 * @throws DormouseError `invalid_state`
 */
export function assertMove(from: SandboxState, to: SandboxState): void {
  if (canMove(from, to)) return;
  throw new DormouseError('invalid_state', `a sandbox that is ${from} cannot become ${to}`);
}

/** Whether nothing can follow: the sandbox holds no resources of a host any more. */
export function isFinal(state: SandboxState): boolean {
  return MOVES[state].length === 0;
}

/** Whether somebody is at work on the sandbox, so that the state should change soon. */
export function isTransitional(state: SandboxState): boolean {
  switch (state) {
    case 'pending':
    case 'snapshotting':
    case 'pausing':
    case 'resuming':
    case 'stopping':
      return true;
    case 'running':
    case 'paused':
    case 'stopped':
    case 'error':
      return false;
  }
}

/** Whether commands, files and traffic reach the guest. A snapshot only makes them wait. */
export function takesCommands(state: SandboxState): boolean {
  return state === 'running' || state === 'snapshotting';
}

/** Whether a string (from a database, say) is a state. */
export function isSandboxState(text: string): text is SandboxState {
  return (SANDBOX_STATES as readonly string[]).includes(text);
}
