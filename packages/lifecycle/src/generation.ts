import { assertMove, type SandboxState } from './sandbox-state.js';

/** The generation of a sandbox's first VM. */
export const FIRST_GENERATION = 1;

/** What a compare-and-swap compares: together they never come back once they have passed. */
export interface LifecyclePosition {
  readonly state: SandboxState;
  /** Counts the VMs a sandbox has had: a report about an earlier one can never touch a later one. */
  readonly generation: number;
}

/**
 * Where a move leads. Starting another VM (`resuming`) begins a new generation, everything else keeps it.
 *
 * @throws DormouseError `invalid_state` for an illegal move
 */
export function move(from: LifecyclePosition, to: SandboxState): LifecyclePosition {
  assertMove(from.state, to);
  return { state: to, generation: to === 'resuming' ? from.generation + 1 : from.generation };
}
