import { fromUnknown, systemErrorCode } from '@dormouse/errors';
import { Guest } from '@dormouse/guest-link';
import { verifyImage } from '@dormouse/rootfs';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import type { SandboxEnvironment, SandboxLog } from '../environment.js';
import { wakeNew } from '../vm/identity.js';
import type { StartedVm } from '../vm/live-vm.js';
import { bootVm } from './boot.js';
import { endReady } from './ready-vm.js';
import { restoreVm } from './restore.js';

/** What a new sandbox begins with. */
export type Origin =
  | { readonly kind: 'boot' }
  /** `orBoot`: a template's frozen moment, without which it is booted. */
  | { readonly kind: 'generation'; readonly id: string; readonly orBoot: boolean }
  /** The disk of a generation, booted. */
  | { readonly kind: 'disk'; readonly id: string };

/** What making a VM of a sandbox takes. */
export interface Making {
  readonly spec: SandboxSpec;
  readonly consoleLogPath: string;
  readonly log: SandboxLog;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * The first VM of a sandbox: one that waits where there is one, else restored, else booted. Nothing is left when it
 * fails.
 *
 * @throws DormouseError as `restoreVm` and `bootVm`
 */
export async function firstVm(
  environment: SandboxEnvironment,
  making: Making,
  origin: Origin,
): Promise<StartedVm> {
  const { spec, consoleLogPath, log, signal } = making;
  if (origin.kind === 'boot') return await bootFromImage(environment, making);
  const { id: generationId } = origin;
  if (origin.kind === 'disk') {
    await environment.store.verify(generationId, { diskOnly: true });
    return await bootFrom(environment, making, { kind: 'generation', id: generationId });
  }
  const ready = origin.orBoot ? await takeReady(environment, making, generationId) : undefined;
  if (ready !== undefined) return ready;
  try {
    return await restoreVm(environment, { spec, generationId, consoleLogPath, as: 'new' }, signal);
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (!origin.orBoot || error.code === 'cancelled' || error.code === 'no_capacity') throw error;
    log.warn({ err: error }, 'the frozen template cannot be restored; booting');
    return await bootFromImage(environment, making);
  }
}

/** Boots a sandbox on the image of its template, if that is as it was built. @throws DormouseError as `bootVm` */
async function bootFromImage(environment: SandboxEnvironment, making: Making): Promise<StartedVm> {
  const { imageId } = making.spec;
  await verifyImage(environment.config.assetsDir, imageId).catch((error: unknown) => {
    // The boot names a missing file in its error.
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  });
  return await bootFrom(environment, making, { kind: 'image', id: imageId });
}

/** Boots a sandbox on a disk. @throws DormouseError as `bootVm` */
export function bootFrom(
  environment: SandboxEnvironment,
  { spec, consoleLogPath, log, signal }: Making,
  base: Disk['base'],
): Promise<StartedVm> {
  const onFailedAttempt = (error: Error): void =>
    log.warn({ err: error }, 'the guest did not come up; again');
  return bootVm(environment, { spec, base, consoleLogPath, onFailedAttempt }, signal);
}

/** A guest that waits for somebody to want it, made this sandbox's own. */
async function takeReady(
  environment: SandboxEnvironment,
  { spec, consoleLogPath, log }: Making,
  generationId: string,
): Promise<StartedVm | undefined> {
  const ready = environment.readyPool.take({ spec, generationId });
  if (ready === undefined) return undefined;
  const { vm, link } = ready.started;
  try {
    vm.moveConsoleLog(consoleLogPath);
    await wakeNew(new Guest(link), spec, log);
    ready.pin[Symbol.dispose]();
    return ready.started;
  } catch (thrown) {
    log.warn({ err: fromUnknown(thrown) }, 'a sandbox that waited does not answer');
    await endReady(environment, ready);
    return undefined;
  }
}
