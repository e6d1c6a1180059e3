import type { Sandbox } from '../actor/sandbox.js';
import type { SandboxEnvironment } from '../environment.js';
import type { HostState } from '../records/journal.js';

/** What there is on a host at this moment. */
export interface HostFigures {
  readonly sandboxes: ReadonlyMap<HostState, number>;
  readonly generations: { readonly count: number; readonly bytes: number };
  /** Started ahead, so that nobody waits for it. */
  readonly waiting: {
    /** VM processes. */
    readonly standby: number;
    /** Restored sandboxes. */
    readonly ready: number;
    readonly pageServer: number;
  };
  /** Page servers that capture or serve memory. */
  readonly busyPageServers: number;
}

/** Counts what there is. */
export async function hostFigures(
  { store, standbyPool, readyPool, pageServers }: SandboxEnvironment,
  sandboxes: readonly Sandbox[],
): Promise<HostFigures> {
  const states = new Map<HostState, number>();
  for (const { journal } of sandboxes) states.set(journal.state, (states.get(journal.state) ?? 0) + 1);
  const { idle, busy } = pageServers.counts;
  return {
    sandboxes: states,
    generations: await store.totals(),
    waiting: { standby: standbyPool.pids.length, ready: readyPool.count, pageServer: idle },
    busyPageServers: busy,
  };
}
