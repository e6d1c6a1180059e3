import type { TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { expected, HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { lostByHost } from './begin.js';
import { findRunning } from './find.js';

/**
 * Counts as activity, on the host and in the database: a sandbox times out only when its whole time has passed again.
 *
 * @throws DormouseError `not_found`, `invalid_state` unless it runs, `unavailable`
 */
export async function pingSandbox({ host }: Services, team: TeamScope, id: string): Promise<void> {
  await findRunning(team, id);
  try {
    const { sandbox } = await hostCall(host.touchSandbox({ id }, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
    const { lastActiveAtMs } = expected(sandbox, 'the sandbox');
    await team.sandboxes.touch(id, new Date(Number(lastActiveAtMs)));
  } catch (error) {
    throw lostByHost(id, error);
  }
}
