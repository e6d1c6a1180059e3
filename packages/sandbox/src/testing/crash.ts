import { createRequire, syncBuiltinESMExports } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import type { Kernel } from '@dormouse/rootfs';
import type { HostConfig } from '../config/host-config.js';
import type { SandboxHost } from '../host/sandbox-host.js';
import { pageServersOf } from './host-processes.js';
import { openVmHost } from './vm-host.js';

/** What an agent is to do before it is killed. */
export type CrashOperation =
  | {
      readonly kind: 'pause' | 'expire' | 'resume' | 'resume without memory' | 'lose the VM' | 'destroy';
      readonly sandboxId: string;
    }
  | { readonly kind: 'snapshot' | 'fork'; readonly sandboxId: string; readonly newId: string }
  | { readonly kind: 'collect' };

/** An agent that dies. */
export interface CrashPlan {
  readonly config: HostConfig;
  readonly kernel: Kernel;
  readonly operation: CrashOperation;
  /** Where: at a named step, or before the n-th change to a file system, counted from 0. Absent: it does not die. */
  readonly dieAt?: string | number;
}

/** Calls that change a file system. */
const CHANGES = ['chmod', 'chown', 'link', 'mkdir', 'open', 'rename', 'rm', 'unlink', 'writeFile'] as const;
const SYNC_CHANGES = ['renameSync'] as const;

/**
 * Opens a host, does one thing to it and, before that is done, kills its own process the way a crash does. Runs in a
 * process of its own, whose last words are the number of changes to a file system it has made.
 */
export async function crash(plan: CrashPlan): Promise<void> {
  const warnings: string[] = [];
  const onStep = async (step: string): Promise<void> => {
    if (step === plan.dieAt) die();
    if (step !== 'awake' || plan.operation.kind !== 'resume without memory') return;
    for (const pid of await pageServersOf(plan.config.dataDir)) process.kill(pid, 'SIGKILL');
  };
  // An agent has servers that keep its process alive; waiting for a page server does not.
  const alive = setInterval(() => {}, 1_000);
  const host = await openVmHost(plan.config, plan.kernel, warnings, { onStep });
  const changes = countChanges(typeof plan.dieAt === 'number' ? plan.dieAt : undefined);
  await perform(host, plan.operation);
  process.stdout.write(`${changes()}\n`);
  await host.release();
  clearInterval(alive);
}

async function perform(host: SandboxHost, operation: CrashOperation): Promise<void> {
  switch (operation.kind) {
    case 'pause':
      await host.pause(operation.sandboxId, Number.MAX_SAFE_INTEGER, 'full');
      return;
    case 'expire':
      await host.get(operation.sandboxId).expire(() => true);
      return;
    case 'resume': {
      const { journal } = host.get(operation.sandboxId);
      await host.resume(operation.sandboxId, journal.generation + 1);
      return;
    }
    case 'lose the VM': {
      const sandbox = host.get(operation.sandboxId);
      process.kill(sandbox.vmPid!, 'SIGKILL');
      while (sandbox.journal.state === 'running' || sandbox.journal.state === 'pausing') await delay(10);
      return;
    }
    case 'resume without memory': {
      const sandbox = host.get(operation.sandboxId);
      await host.resume(sandbox.id, sandbox.journal.generation + 1);
      await sandbox.loaded();
      // What becomes of it without is done in its turn, before this.
      await sandbox.replacePaused('', '');
      return;
    }
    case 'snapshot':
      await host.createSnapshot(operation.newId, operation.sandboxId, 'full');
      return;
    case 'fork': {
      const [result] = await host.fork(operation.sandboxId, [{ id: operation.newId, generation: 1 }]);
      if (result !== undefined && 'error' in result) throw result.error;
      return;
    }
    case 'destroy':
      await host.destroy(operation.sandboxId);
      return;
    case 'collect':
      await host.collect(0);
  }
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** Counts changes from now on, and dies before a given one. */
function countChanges(dieBefore: number | undefined): () => number {
  let count = 0;
  const require = createRequire(import.meta.url);
  const fs = require('node:fs') as Record<string, (...args: never[]) => unknown>;
  const promises = require('node:fs/promises') as Record<string, (...args: never[]) => unknown>;
  const patch = (module: Record<string, (...args: never[]) => unknown>, name: string): void => {
    const real = module[name]!;
    module[name] = (...args) => {
      if (count === dieBefore) die();
      count += 1;
      return real(...args);
    };
  };
  for (const name of CHANGES) patch(promises, name);
  for (const name of SYNC_CHANGES) patch(fs, name);
  syncBuiltinESMExports();
  return () => count;
}
