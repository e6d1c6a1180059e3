import type { ForkSandboxRequest } from '@dormouse/contracts';
import { DormouseError, fromUnknown, isErrorCode } from '@dormouse/errors';
import type { ForkResult as HostForkResult } from '@dormouse/host-api';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { HOST_FORK_TIMEOUT_MS, hostCall } from '../host-call.js';
import { newSandboxId } from '../random-id.js';
import { afterStarting, lostByHost } from './begin.js';
import { destroySandbox } from './destroy.js';
import { findSandbox } from './find.js';
import { startedAt } from './host-times.js';
import { beginMoment } from './moment.js';
import { hostPolicy } from './policy.js';

/** A child that runs, or why there is none. */
export type ForkOutcome =
  | { readonly sandbox: SandboxRecord; readonly error?: undefined }
  | { readonly sandbox?: undefined; readonly error: DormouseError };

/**
 * Makes sandboxes that begin where this one, running or paused, is now. It goes on as it was.
 *
 * @returns one outcome a child: some may fail while others run
 * @throws DormouseError `not_found`, `invalid_state`, or what the host says when there is no child at all
 */
export async function forkSandbox(
  services: Services,
  team: TeamScope,
  id: string,
  wanted: z.output<typeof ForkSandboxRequest>,
): Promise<readonly ForkOutcome[]> {
  await findSandbox(team, id);
  const ids = Array.from({ length: wanted.count }, newSandboxId);
  // Two forks are two families: their key is never another's.
  return services.operations.run(id, `fork ${ids[0]}`, () =>
    services.inFlight.runAll([id, ...ids], () => forkNow(services, team, id, ids, wanted.timeout_sec)),
  );
}

async function forkNow(
  services: Services,
  team: TeamScope,
  id: string,
  ids: readonly string[],
  timeoutSec: number | undefined,
): Promise<readonly ForkOutcome[]> {
  const { source, end } = await beginMoment(services, team, id);
  const children: SandboxRecord[] = [];
  let results: readonly HostForkResult[];
  try {
    const envs = (await team.sandboxes.envsOf(id)) ?? {};
    for (const child of ids) children.push(await insertChild(team, child, source, envs, timeoutSec));
    const answer = await hostCall(
      services.host.forkSandbox(
        {
          id,
          generation: BigInt(source.generation),
          children: children.map((child) => ({
            id: child.id,
            generation: BigInt(child.generation),
            policy: hostPolicy(child),
          })),
        },
        { timeoutMs: HOST_FORK_TIMEOUT_MS },
      ),
    );
    results = answer.results;
    await team.events.add({ type: 'sandbox.forked', sandboxId: id, data: { children: ids } });
  } catch (error) {
    await forget(services, team, ids, error);
    throw lostByHost(id, error);
  } finally {
    await end();
  }
  const byId = new Map(results.map((result) => [result.id, result]));
  return Promise.all(children.map((child) => conclude(services, team, child, byId.get(child.id))));
}

/** A child is its source over again, under a name of its own. */
async function insertChild(
  team: TeamScope,
  id: string,
  source: SandboxRecord,
  envs: Readonly<Record<string, string>>,
  timeoutSec: number | undefined,
): Promise<SandboxRecord> {
  return team.sandboxes.insert({
    id,
    template: source.template,
    imageId: source.image_id ?? '',
    vcpus: source.vcpus,
    memoryMb: source.memory_mb,
    diskMb: source.disk_mb,
    timeoutSec: timeoutSec ?? source.timeout_sec,
    onTimeout: source.on_timeout,
    onMemoryLoss: source.on_memory_loss,
    internet: source.internet,
    envs,
    metadata: source.metadata,
    hostId: source.host_id ?? '',
    parentSnapshot: source.parent_snapshot,
  });
}

async function conclude(
  services: Services,
  team: TeamScope,
  child: SandboxRecord,
  result: HostForkResult | undefined,
): Promise<ForkOutcome> {
  try {
    if (result?.sandbox === undefined) throw failure(result);
    const running = await team.sandboxes.transition({
      id: child.id,
      from: child,
      to: 'running',
      changes: startedAt(result.sandbox),
    });
    return { sandbox: running ?? (await afterStarting(team, child.id)) };
  } catch (thrown) {
    await forget(services, team, [child.id], thrown);
    return { error: fromUnknown(thrown) };
  }
}

function failure(result: HostForkResult | undefined): DormouseError {
  if (result === undefined)
    return new DormouseError('internal', 'the host agent answered without this child');
  return new DormouseError(isErrorCode(result.code) ? result.code : 'internal', result.message);
}

/**
 * Children that are none: no caller knows their ids. What the host has of them the reconciler destroys; one that is
 * not `pending` any more is destroyed whatever state it is in.
 */
async function forget(
  services: Services,
  team: TeamScope,
  ids: readonly string[],
  thrown: unknown,
): Promise<void> {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  const changes = { reason, deleted: true } as const;
  for (const id of ids) {
    try {
      const from = await team.sandboxes.get(id);
      if (from === undefined) continue;
      const given = from.state === 'pending' ? ({ id, from, to: 'error', changes } as const) : undefined;
      const moved = given === undefined ? undefined : await team.sandboxes.transition(given);
      if (moved === undefined) await destroySandbox(services, team, id);
    } catch (err) {
      services.log.warn({ err, sandboxId: id }, 'forgetting a child that failed failed');
    }
  }
}
