import type { CreateSandboxRequest } from '@dormouse/contracts';
import type { Sandbox as HostSandbox } from '@dormouse/host-api';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { expected, HOST_BOOT_TIMEOUT_MS, HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { registerHost } from '../host-registration.js';
import { newSandboxId } from '../random-id.js';
import { afterStarting } from './begin.js';
import { startedAt } from './host-times.js';
import { findOrigin } from './origin.js';
import { hostPolicy } from './policy.js';

/**
 * Makes a sandbox and answers when it takes commands. The row comes first, so that whatever happens in between,
 * the reconciler can tell what was meant; a failing creation leaves a row that says why, and nothing on the host.
 *
 * @param id of the new sandbox, for who has to know it before it is there
 * @throws DormouseError `not_found` (template), `invalid_state` (a snapshot has another size), or what the host says
 */
export async function createSandbox(
  services: Services,
  team: TeamScope,
  wanted: z.output<typeof CreateSandboxRequest>,
  id: string = newSandboxId(),
): Promise<SandboxRecord> {
  const { host } = services;
  const [origin, hostId] = await Promise.all([
    findOrigin(services, team, wanted.template),
    registerHost(services),
  ]);
  origin.assertSize(wanted);
  const envs = { ...origin.envs, ...wanted.envs };
  return services.inFlight.run(id, async () => {
    const pending = await team.sandboxes.insert({
      id,
      template: origin.template,
      imageId: origin.imageId,
      vcpus: wanted.vcpus ?? origin.vcpus,
      memoryMb: wanted.memory_mb ?? origin.memoryMb,
      diskMb: origin.diskMb,
      parentSnapshot: origin.snapshotId,
      timeoutSec: wanted.timeout_sec,
      onTimeout: wanted.on_timeout,
      onMemoryLoss: wanted.on_memory_loss,
      internet: wanted.internet,
      envs,
      metadata: wanted.metadata,
      hostId,
    });
    let sandbox: HostSandbox;
    try {
      const answer = await hostCall(
        host.createSandbox(
          {
            id,
            generation: BigInt(pending.generation),
            policy: hostPolicy(pending),
            spec: {
              template: pending.template,
              vcpus: pending.vcpus,
              memoryMb: pending.memory_mb,
              envs,
              internet: pending.internet,
              snapshotId: origin.snapshotId ?? '',
            },
          },
          { timeoutMs: HOST_BOOT_TIMEOUT_MS },
        ),
      );
      sandbox = expected(answer.sandbox, 'the new sandbox');
    } catch (error) {
      await giveUp(services, team, pending, error);
      throw error;
    }
    const running = await team.sandboxes.transition({
      id,
      from: pending,
      to: 'running',
      changes: startedAt(sandbox),
    });
    return running ?? afterStarting(team, id);
  });
}

async function giveUp(
  { host, log }: Services,
  team: TeamScope,
  pending: SandboxRecord,
  thrown: unknown,
): Promise<void> {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  try {
    await team.sandboxes.transition({ id: pending.id, from: pending, to: 'error', changes: { reason } });
    await hostCall(host.destroySandbox({ id: pending.id }, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  } catch (err) {
    // What could not be done now the reconciler does later.
    log.warn({ err, sandboxId: pending.id }, 'clearing up after a failed creation failed');
  }
}
