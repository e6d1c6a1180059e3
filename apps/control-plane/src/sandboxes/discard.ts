import { fromUnknown } from '@dormouse/errors';
import type { TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { destroySandbox } from './destroy.js';

/**
 * Destroys a sandbox that a project or a build does not need (any more). What the host cannot do now the reconciler
 * does later, once the row says that it is to go.
 *
 * @throws DormouseError when the row does not say so: whoever remembers the sandbox must not forget it then
 */
export async function discardSandbox(services: Services, team: TeamScope, id: string): Promise<void> {
  try {
    await destroySandbox(services, team, id);
  } catch (thrown) {
    if (fromUnknown(thrown).code === 'not_found') return;
    const record = await team.sandboxes.get(id);
    if (record !== undefined && record.state !== 'stopping') throw thrown;
    services.log.warn({ err: thrown, sandboxId: id }, 'a sandbox could not be destroyed; it is tried again');
  }
}
