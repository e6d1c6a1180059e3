import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { begin, leadBack } from './begin.js';
import type { SettledSandbox } from './settle.js';

/** A sandbox whose present moment is being kept. */
export interface Moment {
  readonly source: SandboxRecord;
  /** It goes on as it was. */
  end(): Promise<void>;
}

/**
 * Holds a sandbox where it is, as far as others may change its life: a running one is `snapshotting`, which takes
 * commands; a paused one stays paused.
 *
 * @throws DormouseError `not_found` or `invalid_state`
 */
export async function beginMoment(services: Services, team: TeamScope, id: string): Promise<Moment> {
  const { done, record } = await begin(services, team, id, 'running', 'snapshotting');
  if (done !== undefined) return pausedMoment(done);
  return { source: record, end: () => leadBack(services, team, record, 'running') };
}

function pausedMoment(source: SettledSandbox): Moment {
  return { source, end: async () => undefined };
}
