import { SandboxState } from '@dormouse/host-api';
import type { HostScript } from './scripted-host.js';

/** A sandbox as a living host has it. */
interface Living {
  readonly id: string;
  readonly generation: bigint;
  readonly state: SandboxState;
}

/** A script that remembers what it was told to do, so that control planes can reconcile with it. */
export interface LivingHost {
  readonly script: HostScript;
  /** What it was told, in order: `pause sb…`. */
  readonly told: string[];
  readonly sandboxes: ReadonlyMap<string, Living>;
  /** Waited for before something is done, once per call. Default: nothing. */
  before: (what: string) => Promise<void>;
  /** Waited for between a start (of a new sandbox, or of children) and its answer. Default: nothing. */
  beforeAnswer: () => Promise<void>;
}

/** A host whose sandboxes are where they were last told to be, and nothing else is real about them. */
export function livingHost(): LivingHost {
  const sandboxes = new Map<string, Living>();
  const snapshots = new Map<
    string,
    { id: string; sandboxId: string; ownBytes: bigint; totalBytes: bigint }
  >();
  const told: string[] = [];
  const act = async (what: string): Promise<void> => {
    told.push(what);
    await host.before(what);
  };
  const put = (id: string, generation: bigint, state: SandboxState) => {
    sandboxes.set(id, { id, generation, state });
    const now = BigInt(Date.now());
    return { id, generation, state, startedAtMs: now, lastActiveAtMs: now, pausedAtMs: now };
  };
  const host: LivingHost = {
    told,
    sandboxes,
    before: async () => undefined,
    beforeAnswer: async () => undefined,
    script: {
      listSandboxes: () => ({ sandboxes: [...sandboxes.values()] }),
      listSnapshots: () => ({ snapshots: [...snapshots.values()] }),
      createSandbox: async ({ id, generation }) => {
        await act(`create ${id}`);
        const sandbox = put(id, generation, SandboxState.RUNNING);
        await host.beforeAnswer();
        return { sandbox };
      },
      pauseSandbox: async ({ id, generation }) => {
        await act(`pause ${id}`);
        return { sandbox: put(id, generation, SandboxState.PAUSED) };
      },
      resumeSandbox: async ({ id, generation }) => {
        await act(`resume ${id}`);
        return { sandbox: put(id, generation, SandboxState.RUNNING) };
      },
      forkSandbox: async ({ id, children }) => {
        await act(`fork ${id}`);
        const results = children.map((child) => ({
          id: child.id,
          sandbox: put(child.id, child.generation, SandboxState.RUNNING),
        }));
        await host.beforeAnswer();
        return { results };
      },
      destroySandbox: async ({ id }) => {
        await act(`destroy ${id}`);
        sandboxes.delete(id);
        return {};
      },
      createSnapshot: async ({ id, sandboxId }) => {
        await act(`keep ${sandboxId}`);
        const snapshot = { id, sandboxId, ownBytes: 1_000n, totalBytes: 5_000n };
        snapshots.set(id, snapshot);
        return { snapshot };
      },
      deleteSnapshot: async ({ id }) => {
        snapshots.delete(id);
        return {};
      },
    },
  };
  return host;
}
