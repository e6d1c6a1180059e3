import type { Manifest } from '@dormouse/snapshot';
import type { Journal, PauseCause } from '../records/journal.js';

/** Facts that an agent finds out about a sandbox of an earlier agent. */
export interface TakeOverFacts {
  /** Kind of the generation that a pause was to make, where that is committed and can be read. */
  readonly committed: Manifest['kind'] | undefined;
  /**
   * `answers`: it is this agent's now. `silent`: its process runs, and its VMM does not answer. `ended`: also where
   * the journal names none.
   */
  readonly vm: 'answers' | 'silent' | 'ended';
  /** How a VM was found to be silent. */
  readonly problem?: string;
}

/** How a sandbox is taken over. */
export type TakeOver =
  /** It is as it was left. */
  | { readonly do: 'nothing' }
  /** It was being made or removed: remove it. */
  | { readonly do: 'remove' }
  /** It was being resumed: it is paused as before. */
  | { readonly do: 'stay-paused' }
  /** Its pause is durable: finish it. */
  | {
      readonly do: 'become-paused';
      readonly generationId: string;
      readonly kind: Manifest['kind'];
      readonly cause: PauseCause | undefined;
    }
  /** Its VM stands still, or may: it goes on. */
  | { readonly do: 'run-on' }
  /** Its memory was still to come and cannot: it is again the generation it began with. */
  | { readonly do: 'go-back'; readonly generationId: string; readonly reason: string }
  /** Its VM is lost: end its process and keep its disk. */
  | { readonly do: 'keep-disk'; readonly reason: string; readonly cause: PauseCause | undefined };

/** Whether the answer depends on the VM: one that is going to be ended need not be attached to. */
export function needsVm(journal: Journal, committed: TakeOverFacts['committed']): boolean {
  const { state, purpose } = journal;
  return state === 'running' || state === 'snapshotting' || (purpose === 'freeze' && committed === undefined);
}

/** Decides what becomes of a sandbox when an agent starts. A VM that answers is never ended. */
export function decideTakeOver(journal: Journal, facts: TakeOverFacts): TakeOver {
  const { committed, vm } = facts;
  switch (journal.state) {
    case 'pending':
    case 'stopping':
      return { do: 'remove' };
    case 'paused':
    case 'stopped':
      return { do: 'nothing' };
    case 'resuming':
      return { do: 'stay-paused' };
    case 'running': {
      if (vm === 'answers') return { do: 'nothing' };
      const { loading, memoryBase } = journal;
      if (loading === undefined || memoryBase === undefined) return keepDisk(facts);
      return {
        do: 'go-back',
        generationId: memoryBase,
        reason: 'its VM ended while the host agent was away',
      };
    }
    case 'snapshotting':
      return vm === 'answers' ? { do: 'run-on' } : keepDisk(facts);
    case 'pausing':
      break;
  }
  const { intent } = journal;
  switch (journal.purpose) {
    case 'go-back':
      return { do: 'go-back', generationId: journal.intent, reason: 'the host agent ended' };
    case 'keep-disk':
    case 'freeze':
      if (committed !== undefined && intent !== undefined) {
        return {
          do: 'become-paused',
          generationId: intent,
          kind: committed,
          cause: journal.intentCause,
        };
      }
      if (journal.purpose === 'keep-disk')
        return { do: 'keep-disk', reason: journal.reason, cause: journal.intentCause };
      return vm === 'answers' ? { do: 'run-on' } : keepDisk(facts);
  }
}

function keepDisk({ vm, problem }: TakeOverFacts): TakeOver {
  const reason =
    vm === 'silent'
      ? `its VM no longer answered: ${problem ?? 'no reason is known'}`
      : 'its VM ended while the host agent was away';
  return { do: 'keep-disk', reason, cause: undefined };
}
