import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { CreateTemplateBuildRequest } from '@dormouse/contracts';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { BuildChanges, BuildRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { newSandboxId, newSnapshotId } from '../random-id.js';
import { createSandbox } from '../sandboxes/create.js';
import { discardSandbox } from '../sandboxes/discard.js';
import { findOrigin, type Origin } from '../sandboxes/origin.js';
import { type CommandDefaults, createSnapshot } from '../snapshots/create.js';
import { removeIfPresent, removeLayers } from '../snapshots/remove.js';
import { doStep, startDetached, untilReady, type Workshop } from './build-command.js';
import { fromLongestPrefix, type Layer } from './build-layers.js';
import { BuildLog } from './build-log.js';
import { type BuildContext, chosen, lastContext, type PlannedStep, planBuild } from './build-plan.js';
import { layerName } from './sweep-layers.js';

/** How long a control plane that has died is still believed to be building. */
const LEASE_MS = 30_000;
/** How often it is renewed, and looked whether somebody has cancelled the build. */
const RENEW_EVERY_MS = 2_000;

/** How often it is tried to destroy the sandbox of a build. */
const DISCARD_TRIES = 3;
const DISCARD_EVERY_MS = 200;

type Recipe = z.output<typeof CreateTemplateBuildRequest>;

/** Where a build is being done, to be cleared whatever becomes of it. */
interface Place {
  sandboxId: string | undefined;
}

/** A build in the hands of this process. */
interface Building {
  readonly services: Services;
  readonly team: TeamScope;
  readonly recipe: Recipe;
  readonly log: BuildLog;
  /** Aborted when it was cancelled, or when this process stops. */
  readonly signal: AbortSignal;
  /** @throws DormouseError `invalid_state` when another process has taken over */
  change(changes: BuildChanges): Promise<BuildRecord>;
}

/**
 * Builds a template, if nobody else does: a sandbox of what it begins with, in which its steps are done one after the
 * other, a moment being kept after each; the last moment becomes the snapshot of the template's name. A build that is
 * begun again, by whomever, goes on after the last step that was done.
 *
 * @param stop ends it without a verdict: it waits again then
 */
export async function runBuild(
  services: Services,
  teamId: string,
  id: string,
  stop: AbortSignal,
): Promise<void> {
  const team = services.store.forTeam(teamId);
  const lease = { token: randomUUID(), ms: LEASE_MS };
  const claimed = await team.templateBuilds.claim(id, lease);
  if (claimed === undefined) return;
  const failed = (err: unknown): void => services.log.warn({ err, buildId: id }, 'a build is not recorded');
  const cancelled = new AbortController();
  const renew = async (): Promise<void> => {
    if ((await team.templateBuilds.renew(id, lease))?.cancel_requested) cancelled.abort();
  };
  const renewing = setInterval(() => void renew().catch(failed), RENEW_EVERY_MS);
  const log = new BuildLog(team, id);
  const building: Building = {
    services,
    team,
    recipe: CreateTemplateBuildRequest.parse(claimed.recipe),
    log,
    signal: AbortSignal.any([stop, cancelled.signal]),
    change: async (changes) => {
      const changed = await team.templateBuilds.change(id, lease.token, changes);
      if (changed !== undefined) return changed;
      throw new DormouseError('invalid_state', `another control plane has taken over the build ${id}`);
    },
  };
  try {
    await conclude(building, claimed, stop);
  } catch (err) {
    failed(err);
  } finally {
    clearInterval(renewing);
    await team.templateBuilds.release(id, lease.token).catch(failed);
  }
}

/** Whatever comes of it is recorded, and the sandbox goes. */
async function conclude(building: Building, claimed: BuildRecord, stop: AbortSignal): Promise<void> {
  const { services, team, signal, change } = building;
  if (claimed.sandbox_id !== null) await discard(services, team, claimed.sandbox_id);
  const before = claimed.snapshot_id === null ? undefined : await team.snapshots.get(claimed.snapshot_id);
  if (before !== undefined) {
    // Whoever was at it before did everything but say so.
    await change({ state: 'ready', step: building.recipe.steps.length });
    return;
  }
  if (claimed.cancel_requested) {
    await change({ state: 'cancelled', sandboxId: null, snapshotId: null });
    return;
  }
  await change({ sandboxId: null, snapshotId: null });
  const place: Place = { sandboxId: undefined };
  let end: BuildChanges;
  try {
    end = { state: 'ready', snapshotId: await build(building, place) };
  } catch (thrown) {
    const { message } = fromUnknown(thrown);
    const snapshotId = await madeBy(team, claimed.id);
    if (snapshotId !== undefined) end = { state: 'ready', snapshotId };
    else if (stop.aborted) end = { state: 'queued' };
    else if (signal.aborted) end = { state: 'cancelled', snapshotId: null };
    else end = { state: 'failed', error: message, snapshotId: null };
  }
  await tell(building, end);
  if (place.sandboxId !== undefined) await discard(services, team, place.sandboxId);
  await change({ ...end, sandboxId: null });
}

/** The snapshot that a build has made, also where the answer about that was lost; undefined: there is none. */
async function madeBy(team: TeamScope, buildId: string): Promise<string | undefined> {
  const id = (await team.templateBuilds.get(buildId))?.snapshot_id;
  return id === undefined || id === null ? undefined : (await team.snapshots.get(id))?.id;
}

/** The end of the log. A template that is ready is not worse for a log that cannot be written. */
async function tell({ recipe, log, services }: Building, { state, error }: BuildChanges): Promise<void> {
  try {
    if (state === 'ready') await log.write(0, 'build', `ready: ${recipe.name}\n`);
    if (state === 'failed') await log.write(0, 'build', `failed: ${error}\n`);
    if (state === 'cancelled') await log.write(0, 'build', 'cancelled\n');
    await log.flush();
  } catch (err) {
    services.log.warn({ err, template: recipe.name }, 'the end of the log of a build is lost');
  }
}

async function build(building: Building, place: Place): Promise<string> {
  const { services, team, recipe, log, signal, change } = building;
  const origin = await findOrigin(services, team, recipe.from);
  origin.assertSize(recipe);
  const size = { vcpus: recipe.vcpus ?? origin.vcpus, memory_mb: recipe.memory_mb ?? origin.memoryMb };
  const start = `${origin.snapshotId ?? origin.imageId} ${size.vcpus} ${size.memory_mb}`;
  const plan = planBuild(start, recipe.steps);
  const begin = (layer: Layer | undefined) => beginAt(building, place, size, layer);
  const { sandboxId, done } = recipe.cache
    ? await fromLongestPrefix(team, recipe.name, plan, begin, async ({ step }, reason) => {
        await log.write(step.number, 'build', `steps 1 to ${step.number} cannot be taken over: ${reason}\n`);
      })
    : await begin(undefined);
  const workshop: Workshop = { host: services.host, sandboxId, log, signal };
  for (const planned of plan.slice(done)) {
    await perform(building, workshop, planned, origin, plan.length);
  }
  const context = lastContext(plan);
  await startCommands(building, workshop, context);
  const snapshotId = newSnapshotId();
  await change({ snapshotId });
  const envs = { ...origin.envs, ...context.envs };
  await keep(building, sandboxId, snapshotId, recipe.name, { envs, ...chosen(plan) });
  const keys = plan.map(({ key }) => key);
  try {
    await removeLayers(services, team, recipe.name, keys);
  } catch (err) {
    services.log.warn({ err, template: recipe.name }, 'old layers are left to the next build');
  }
  return snapshotId;
}

/**
 * Makes the sandbox that a build is done in. One that an earlier attempt has left goes first.
 *
 * @param layer what it begins with; undefined: what the recipe begins with
 * @returns the sandbox, and how many steps are done in it
 */
async function beginAt(
  { services, team, recipe, log, change }: Building,
  place: Place,
  size: { readonly vcpus: number; readonly memory_mb: number },
  layer: Layer | undefined,
): Promise<{ readonly sandboxId: string; readonly done: number }> {
  if (place.sandboxId !== undefined) await discard(services, team, place.sandboxId);
  const sandboxId = newSandboxId();
  place.sandboxId = sandboxId;
  const done = layer?.step.number ?? 0;
  await change({ sandboxId, step: done, cachedSteps: done });
  const wanted = {
    template: layer?.snapshotId ?? recipe.from,
    ...(layer === undefined ? size : {}),
    timeout_sec: 0,
    on_timeout: 'kill',
    on_memory_loss: 'fail',
    internet: true,
    envs: {},
    metadata: { template: recipe.name },
  } as const;
  await createSandbox(services, team, wanted, sandboxId);
  if (layer !== undefined) await log.write(done, 'build', `steps 1 to ${done}: done before\n`);
  return { sandboxId, done };
}

async function perform(
  building: Building,
  workshop: Workshop,
  { number, step, context, key }: PlannedStep,
  origin: Origin,
  count: number,
): Promise<void> {
  const { services, team, recipe, log, signal, change } = building;
  signal.throwIfAborted();
  await log.write(number, 'build', `step ${number} of ${count}: ${title(step)}\n`);
  await log.flush();
  if (step.type === 'run' || step.type === 'copy') {
    await doStep(workshop, number, step, context, recipe.step_timeout_sec * 1000);
    const snapshotId = newSnapshotId();
    const envs = { ...origin.envs, ...context.envs };
    await keep(building, workshop.sandboxId, snapshotId, layerName(snapshotId), { envs });
    const replaced = await team.templateBuilds.keepLayer(recipe.name, key, snapshotId);
    if (replaced !== undefined) await removeIfPresent(services, team, replaced);
  }
  await change({ step: number });
}

async function startCommands(
  { recipe, log }: Building,
  workshop: Workshop,
  context: BuildContext,
): Promise<void> {
  if (recipe.start_command !== undefined) {
    await log.write(0, 'build', `start: ${recipe.start_command}\n`);
    await startDetached(workshop, recipe.start_command, context);
  }
  if (recipe.ready_command !== undefined) {
    await log.write(0, 'build', `until ready: ${recipe.ready_command}\n`);
    await untilReady(workshop, recipe.ready_command, context);
  }
}

async function keep(
  { services, team, recipe }: Building,
  sandboxId: string,
  snapshotId: string,
  name: string,
  defaults: CommandDefaults,
): Promise<void> {
  const description = `built from ${recipe.from}`;
  const wanted = { sandbox_id: sandboxId, name, memory: true, pause: false, description };
  await createSnapshot(services, team, wanted, name === recipe.name, snapshotId, defaults);
}

/**
 * The sandbox of a build goes. The build remembers it until then, so that it is found after a crash; a database that
 * is away for a moment is waited for, because a build that cannot forget its sandbox is done again.
 *
 * @throws DormouseError when it is still there
 */
async function discard(services: Services, team: TeamScope, id: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await discardSandbox(services, team, id);
    } catch (thrown) {
      if (tries === DISCARD_TRIES) throw thrown;
      await wait(DISCARD_EVERY_MS);
    }
  }
}

function title(step: PlannedStep['step']): string {
  switch (step.type) {
    case 'run':
      return `run ${step.command}`;
    case 'copy':
      return `copy ${step.path}`;
    case 'env':
      // Values may be secrets.
      return `env ${Object.keys(step.envs).join(' ')}`;
    case 'workdir':
      return `workdir ${step.path}`;
    case 'user':
      return `user ${step.name}`;
  }
}
