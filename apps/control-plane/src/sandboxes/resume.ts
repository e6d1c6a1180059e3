import type { ResumeSandboxRequest } from '@dormouse/contracts';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { expected, HOST_BOOT_TIMEOUT_MS, hostCall } from '../host-call.js';
import { afterwards, begin, leadBack, lostByHost } from './begin.js';
import { findSandbox } from './find.js';
import { resumedBy, startedAt } from './host-times.js';

/**
 * Resumes a paused sandbox and answers when it takes commands. Equal requests join; one that runs is answered as it
 * is. When it fails the sandbox stays paused.
 *
 * @throws DormouseError `not_found`, `invalid_state`, or what the host says
 */
export async function resumeSandbox(
  services: Services,
  team: TeamScope,
  id: string,
  wanted: z.output<typeof ResumeSandboxRequest>,
): Promise<SandboxRecord> {
  await findSandbox(team, id);
  const key = `resume ${wanted.reboot} ${wanted.timeout_sec}`;
  return services.operations.run(id, key, () =>
    services.inFlight.run(id, async () => {
      const record = await resumeNow(services, team, id, wanted.reboot);
      if (wanted.timeout_sec === undefined || wanted.timeout_sec === record.timeout_sec) return record;
      return (await team.sandboxes.setTimeout(id, wanted.timeout_sec)) ?? record;
    }),
  );
}

async function resumeNow(
  services: Services,
  team: TeamScope,
  id: string,
  reboot: boolean,
): Promise<SandboxRecord> {
  const { done, record: resuming } = await begin(team, id, 'paused', 'resuming');
  if (done !== undefined) return done;
  try {
    const request = { id, generation: BigInt(resuming.generation), reboot };
    const answer = await hostCall(services.host.resumeSandbox(request, { timeoutMs: HOST_BOOT_TIMEOUT_MS }));
    const sandbox = expected(answer.sandbox, 'the resumed sandbox');
    const running = await team.sandboxes.transition({
      id,
      from: resuming,
      to: 'running',
      changes: {
        ...startedAt(sandbox),
        pausedAt: null,
        resumedBy: resumedBy(sandbox),
        reason: sandbox.reason === '' ? null : sandbox.reason,
      },
    });
    if (running !== undefined) return running;
  } catch (error) {
    await leadBack(services, team, resuming, 'paused');
    throw lostByHost(id, error);
  }
  return afterwards(team, id, 'running', 'being resumed');
}
