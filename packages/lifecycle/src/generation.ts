import { DormouseError } from '@dormouse/errors';
import { assertMove, movesFrom, type SandboxState } from './sandbox-state.js';

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

/**
 * Whether a host that reports `to` may have come there from `from` by legal moves that nobody recorded: it pauses
 * and resumes by itself, when it is shut down and started again, say. Never towards an earlier generation.
 *
 * Resuming takes a new generation, or the one of an attempt that failed and left the sandbox paused.
 */
export function canFollow(from: LifecyclePosition, to: LifecyclePosition): boolean {
  if (to.generation < from.generation) return false;
  // One resume more is as good as many: whoever has resumed once can have paused and resumed again.
  const ahead = to.generation > from.generation ? 1 : 0;
  const reached = new Set<string>();
  const open: LifecyclePosition[] = [{ state: from.state, generation: 0 }];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at.generation > ahead || reached.has(`${at.state} ${at.generation}`)) continue;
    reached.add(`${at.state} ${at.generation}`);
    for (const state of movesFrom(at.state)) {
      open.push({ state, generation: at.generation });
      if (state === 'resuming') open.push({ state, generation: at.generation + 1 });
    }
  }
  return reached.has(`${to.state} ${ahead}`);
}

/**
 * Refuses to follow a host to where no legal moves lead.
 *
 * @throws DormouseError `invalid_state`
 */
export function assertFollow(from: LifecyclePosition, to: LifecyclePosition): void {
  if (canFollow(from, to)) return;
  throw new DormouseError(
    'invalid_state',
    `a sandbox that is ${from.state} in generation ${from.generation} cannot have become ${to.state} in generation ${to.generation}`,
  );
}
