import { SANDBOX_ID_PATTERN } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { takesCommands } from '@dormouse/lifecycle';
import type { SandboxRecord, TeamScope } from '@dormouse/store';

/**
 * A sandbox of the team.
 *
 * @throws DormouseError `not_found`, the same for unknown ids, another team's and destroyed ones
 */
export async function findSandbox(team: TeamScope, id: string): Promise<SandboxRecord> {
  const record = SANDBOX_ID_PATTERN.test(id) ? await team.sandboxes.get(id) : undefined;
  if (record === undefined) throw noSuchSandbox(id);
  return record;
}

/**
 * A sandbox of the team that takes commands.
 *
 * @throws DormouseError `not_found`, `invalid_state`, `unavailable` while its host does not answer
 */
export async function findRunning(team: TeamScope, id: string): Promise<SandboxRecord> {
  const record = await findSandbox(team, id);
  if (!takesCommands(record.state)) throw notRunning(record);
  if (record.host_state === 'unreachable') throw hostUnreachable(record);
  return record;
}

/** What is said of a sandbox whose host does not answer. Nothing of it is lost for that. */
function hostUnreachable({ id, host_id }: SandboxRecord): DormouseError {
  return new DormouseError('unavailable', `the host ${host_id} of the sandbox ${id} does not answer`, {
    suggestion: 'Try again in a while: the sandbox is kept as it is until its host is back.',
    notBegun: true,
  });
}

/** What is said of a sandbox that would have to run and does not: how to wake it, where that is possible. */
export function notRunning({ id, state, reason }: SandboxRecord): DormouseError {
  const why = reason === null ? '' : ` (${reason})`;
  const message = `the sandbox ${id} is ${state}${why}, not running`;
  switch (state) {
    case 'paused':
    case 'pausing':
      return new DormouseError('invalid_state', message, {
        suggestion: `Resume it: POST /v1/sandboxes/${id}/resume.`,
      });
    case 'resuming':
      return new DormouseError('invalid_state', message, {
        suggestion: `POST /v1/sandboxes/${id}/resume answers when it runs.`,
      });
    default:
      return new DormouseError('invalid_state', message);
  }
}

/** The one answer for every sandbox that a team has not got. */
export function noSuchSandbox(id: string): DormouseError {
  return new DormouseError('not_found', `there is no sandbox ${id.slice(0, 64)}`);
}
