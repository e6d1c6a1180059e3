import { DormouseError } from '@dormouse/errors';
import { isFinal } from '@dormouse/lifecycle';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { asBegun, HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { findSandbox } from './find.js';

/** How often a state may change under our hands before we call it a day. */
const MAX_ATTEMPTS = 10;

/**
 * Destroys a sandbox and everything it holds, whatever state it is in. Equal requests at the same time all
 * succeed. When the host cannot be reached the sandbox stays `stopping`, and the reconciler finishes.
 *
 * @throws DormouseError `not_found`, `unavailable`
 */
export async function destroySandbox(services: Services, team: TeamScope, id: string): Promise<void> {
  const { host } = services;
  await services.inFlight.run(id, async () => {
    const stopping = await beginStopping(team, id);
    await hostCall(host.destroySandbox({ id }, { timeoutMs: HOST_CALL_TIMEOUT_MS })).catch(
      (thrown: unknown) => {
        throw asBegun(thrown);
      },
    );
    if (stopping !== undefined) await team.sandboxes.transition({ id, from: stopping, to: 'stopped' });
  });
}

/** The sandbox on its way out; undefined when it had ended already and is only hidden now. */
async function beginStopping(team: TeamScope, id: string): Promise<SandboxRecord | undefined> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const record = await findSandbox(team, id);
    if (record.state === 'stopping') return record;
    if (isFinal(record.state)) {
      if (await team.sandboxes.hideEnded(id)) return undefined;
      continue;
    }
    const stopping = await team.sandboxes.transition({
      id,
      from: record,
      to: 'stopping',
      changes: { deleted: true },
    });
    if (stopping !== undefined) return stopping;
  }
  throw new DormouseError('invalid_state', `the sandbox ${id} keeps changing its state; try again`);
}
