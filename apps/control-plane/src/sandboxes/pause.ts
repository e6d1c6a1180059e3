import type { PauseSandboxRequest } from '@dormouse/contracts';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { expected, HOST_BOOT_TIMEOUT_MS, hostCall } from '../host-call.js';
import { afterwards, begin, leadBack, lostByHost } from './begin.js';
import { findSandbox } from './find.js';
import { pausedAt } from './host-times.js';

/**
 * Pauses a sandbox: its processes and memory become a snapshot and are freed. Equal requests join; one that is paused
 * is answered as it is. When it fails the sandbox runs on.
 *
 * @throws DormouseError `not_found`, `invalid_state`, or what the host says
 */
export async function pauseSandbox(
  services: Services,
  team: TeamScope,
  id: string,
  wanted: z.output<typeof PauseSandboxRequest>,
): Promise<SandboxRecord> {
  await findSandbox(team, id);
  return services.operations.run(id, `pause ${wanted.memory}`, () =>
    services.inFlight.run(id, () => pauseNow(services, team, id, wanted.memory)),
  );
}

/** The same, for who has its turn already. */
export async function pauseNow(
  services: Services,
  team: TeamScope,
  id: string,
  memory: boolean,
): Promise<SandboxRecord> {
  const { done, record: pausing } = await begin(services, team, id, 'running', 'pausing');
  if (done !== undefined) return done;
  try {
    const request = { id, generation: BigInt(pausing.generation), diskOnly: !memory };
    const { sandbox } = await hostCall(
      services.host.pauseSandbox(request, { timeoutMs: HOST_BOOT_TIMEOUT_MS }),
    );
    const paused = await team.sandboxes.transition({
      id,
      from: pausing,
      to: 'paused',
      changes: { pausedAt: pausedAt(expected(sandbox, 'the paused sandbox')), reason: null },
    });
    if (paused !== undefined) return paused;
  } catch (error) {
    await leadBack(services, team, pausing, 'running', error);
    throw lostByHost(id, error);
  }
  return afterwards(team, id, 'paused', 'being paused');
}
