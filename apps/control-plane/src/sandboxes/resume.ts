import { setTimeout as wait } from 'node:timers/promises';
import type { ResumeSandboxRequest } from '@dormouse/contracts';
import { fromUnknown } from '@dormouse/errors';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { expected, HOST_BOOT_TIMEOUT_MS, HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { recordPending } from '../host-events/record.js';
import { afterwards, begin, leadBack, lostByHost } from './begin.js';
import { findSandbox } from './find.js';
import { resumedBy, startedAt } from './host-times.js';
import { hostPolicy } from './policy.js';
import { type SettledSandbox, settled } from './settle.js';

/** How long a host may take to pause a sandbox by itself. */
const FALLING_ASLEEP_MS = 15_000;
const LOOK_EVERY_MS = 100;

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
  const { reboot, timeout_sec, on_memory_loss } = wanted;
  const key = `resume ${reboot} ${timeout_sec} ${on_memory_loss}`;
  return services.operations.run(id, key, () =>
    services.inFlight.run(id, async () => {
      const hasNewPolicy = timeout_sec !== undefined || on_memory_loss !== undefined;
      if (hasNewPolicy) await setPolicy(services, team, id, wanted);
      return await runNow(services, team, id, reboot, hasNewPolicy);
    }),
  );
}

/** What is wanted of the host from now on is recorded before the host hears of it, and holds if the resume fails. */
async function setPolicy(
  { inFlight }: Services,
  team: TeamScope,
  id: string,
  { timeout_sec, on_memory_loss }: z.output<typeof ResumeSandboxRequest>,
): Promise<void> {
  const record = await inFlight.outside(id, () => settled(team, id));
  await team.sandboxes.setPolicy(id, {
    timeoutSec: timeout_sec ?? record.timeout_sec,
    onMemoryLoss: on_memory_loss ?? record.on_memory_loss,
  });
}

/** Runs it, also when its host has paused it a moment ago and that is about to be recorded. */
async function runNow(
  services: Services,
  team: TeamScope,
  id: string,
  reboot: boolean,
  hasNewPolicy: boolean,
): Promise<SandboxRecord> {
  const until = performance.now() + FALLING_ASLEEP_MS;
  for (;;) {
    try {
      return await resumeNow(services, team, id, reboot, hasNewPolicy);
    } catch (error) {
      const record = await team.sandboxes.get(id);
      const mayBePausing = fromUnknown(error).code === 'invalid_state' && record?.state === 'running';
      if (!mayBePausing || performance.now() > until) throw error;
      await recordPending(services, record.host_id ?? '');
      await wait(LOOK_EVERY_MS);
    }
  }
}

/** One that runs already is used by whoever asks for it. */
async function refresh(
  services: Services,
  team: TeamScope,
  running: SettledSandbox,
  hasNewPolicy: boolean,
): Promise<SandboxRecord> {
  const { id } = running;
  const request = hasNewPolicy ? { id, policy: hostPolicy(running) } : { id };
  try {
    const { sandbox } = await hostCall(
      services.host.touchSandbox(request, { timeoutMs: HOST_CALL_TIMEOUT_MS }),
    );
    const { lastActiveAt } = startedAt(expected(sandbox, 'the running sandbox'));
    await team.sandboxes.touch(id, lastActiveAt);
    return { ...running, last_active_at: lastActiveAt };
  } catch (error) {
    throw lostByHost(id, error);
  }
}

async function resumeNow(
  services: Services,
  team: TeamScope,
  id: string,
  reboot: boolean,
  hasNewPolicy: boolean,
): Promise<SandboxRecord> {
  const { done, record: resuming } = await begin(services, team, id, 'paused', 'resuming');
  if (done !== undefined) return await refresh(services, team, done, hasNewPolicy);
  try {
    const policy = hostPolicy(resuming);
    const request = { id, generation: BigInt(resuming.generation), reboot, policy };
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
    await leadBack(services, team, resuming, 'paused', error);
    throw lostByHost(id, error);
  }
  return afterwards(team, id, 'running', 'being resumed');
}
