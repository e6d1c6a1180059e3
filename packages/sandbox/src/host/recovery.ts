import { mkdir } from 'node:fs/promises';
import { fromUnknown } from '@dormouse/errors';
import { Sandbox } from '../actor/sandbox.js';
import { limited } from '../concurrency/limited.js';
import { layersDir } from '../config/host-config.js';
import type { SandboxEnvironment } from '../environment.js';
import { readJournals } from '../records/read-journals.js';
import { layersOf } from './collector.js';
import type { Registry } from './registry.js';

/** Sandboxes that an agent takes over side by side when it opens. */
const PARALLEL_TAKEOVERS = 16;

/**
 * Takes over what an earlier agent has left: running VMs are re-attached, what was interrupted is finished or rolled
 * back, half-made sandboxes are removed, and processes and memory without an owner are freed.
 *
 * While there are journals that cannot be understood, nothing is freed for want of an owner: it may be theirs.
 *
 * @returns directories of sandboxes whose journals cannot be understood
 * @throws as `readJournals`: nothing has been changed then
 */
export async function recover(
  environment: SandboxEnvironment,
  registry: Registry,
): Promise<readonly string[]> {
  const { config, slots, log, layers } = environment;
  await mkdir(layersDir(config), { recursive: true, mode: 0o711 });
  const { journals, broken } = await readJournals(config, log);
  for (const journal of journals) registry.add(new Sandbox(environment, journal));
  const list = registry.list();
  const known = list.flatMap(({ journal }) => (journal.vm === undefined ? [] : [journal.vm]));
  for (const record of known) await slots.adopt(record);
  if (broken.length === 0) await slots.releaseOthers(new Set(known.map(({ slot }) => slot)));
  else {
    log.warn(
      { broken },
      'journals cannot be understood: no VM, memory, layer or generation is freed until they are gone',
    );
    await slots.adoptOthers(new Set(known.map(({ slot }) => slot)));
  }
  // A VM that does not answer takes its time; the others are not to wait for it.
  await limited(PARALLEL_TAKEOVERS, list, (sandbox) => takeOverOne(environment, registry, sandbox));
  if (broken.length > 0) return broken;
  try {
    await layers.sweep(() => layersOf(registry.list().map(({ journal }) => journal)));
  } catch (error) {
    log.warn(
      { err: fromUnknown(error) },
      'could not remove disk layers without an owner; the next collection does',
    );
  }
  return broken;
}

/** What goes wrong with one sandbox keeps no other from coming back. */
async function takeOverOne({ log }: SandboxEnvironment, registry: Registry, sandbox: Sandbox): Promise<void> {
  const { state } = sandbox.journal;
  if (state === 'pending' || state === 'stopping') return await finishRemoval({ log }, registry, sandbox);
  try {
    const isDone = state === 'paused' || state === 'stopped' || (await sandbox.reattach());
    if (isDone) log.info({ sandboxId: sandbox.id, state: sandbox.journal.state }, 'took over a sandbox');
  } catch (thrown) {
    const err = fromUnknown(thrown);
    log.warn({ sandboxId: sandbox.id, err }, 'what an earlier agent has left cannot be taken over');
  }
}

/** A removal that fails now can be asked for again. */
async function finishRemoval(
  { log }: Pick<SandboxEnvironment, 'log'>,
  registry: Registry,
  sandbox: Sandbox,
): Promise<void> {
  const { id, journal } = sandbox;
  try {
    await sandbox.destroy();
    registry.forget(sandbox);
    log.info({ sandboxId: id, state: journal.state }, 'finished what a crash had interrupted');
  } catch (error) {
    log.warn(
      { sandboxId: id, err: fromUnknown(error) },
      'what a crash had interrupted cannot be finished yet',
    );
  }
}
