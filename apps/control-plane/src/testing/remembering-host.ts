import { DormouseError } from '@dormouse/errors';
import { SandboxState } from '@dormouse/host-api';
import { guestScript } from './guest-script.js';
import type { HostScript } from './scripted-host.js';

/** A sandbox as the host has it, with what its user has written in it. */
export interface RememberedSandbox {
  readonly id: string;
  generation: bigint;
  state: SandboxState;
  /** `template` until somebody writes something else. */
  content: string;
}

/** A host that remembers what is in its sandboxes and snapshots, so that a test can tell whether it was lost. */
export interface RememberingHost {
  readonly script: HostScript;
  readonly sandboxes: Map<string, RememberedSandbox>;
  /** What each snapshot holds. */
  readonly snapshots: Map<string, string>;
  /** Sandboxes that it was told to boot from their disks, though their memory was there. */
  readonly rebooted: string[];
  /** Forgets everything. */
  clear(): void;
}

/** Does what it is told, at once. */
export function rememberingHost(): RememberingHost {
  const sandboxes = new Map<string, RememberedSandbox>();
  const snapshots = new Map<string, string>();
  const rebooted: string[] = [];
  const find = (id: string): RememberedSandbox => {
    const found = sandboxes.get(id);
    if (found === undefined) throw new DormouseError('not_found', `there is no sandbox '${id}' on this host`);
    return found;
  };
  const put = (id: string, generation: bigint, content: string) => {
    const made = { id, generation, state: SandboxState.RUNNING, content };
    sandboxes.set(id, made);
    return message(made);
  };
  return {
    sandboxes,
    snapshots,
    rebooted,
    clear: () => {
      sandboxes.clear();
      snapshots.clear();
      rebooted.length = 0;
    },
    script: {
      ...guestScript(),
      listSandboxes: () => ({ sandboxes: [...sandboxes.values()].map(message) }),
      listSnapshots: () => ({ snapshots: [...snapshots.keys()].map(measured) }),
      getSandbox: ({ id }) => ({ sandbox: message(find(id)) }),
      touchSandbox: ({ id }) => ({ sandbox: message(find(id)) }),
      createSandbox: ({ id, generation, spec }) => {
        const from = spec?.snapshotId ?? '';
        const content = from === '' ? 'template' : snapshots.get(from);
        if (content === undefined) throw new DormouseError('not_found', `there is no snapshot '${from}'`);
        return { sandbox: put(id, generation, content) };
      },
      pauseSandbox: ({ id }) => {
        const sandbox = find(id);
        sandbox.state = SandboxState.PAUSED;
        return { sandbox: message(sandbox) };
      },
      resumeSandbox: ({ id, generation, reboot }) => {
        const sandbox = find(id);
        if (reboot) rebooted.push(id);
        Object.assign(sandbox, { generation, state: SandboxState.RUNNING });
        return { sandbox: message(sandbox) };
      },
      forkSandbox: ({ id, children }) => ({
        results: children.map((child) => ({
          id: child.id,
          sandbox: put(child.id, child.generation, find(id).content),
        })),
      }),
      destroySandbox: ({ id }) => {
        sandboxes.delete(id);
        return {};
      },
      createSnapshot: ({ id, sandboxId }) => {
        snapshots.set(id, find(sandboxId).content);
        return { snapshot: measured(id) };
      },
      deleteSnapshot: ({ id }) => {
        snapshots.delete(id);
        return {};
      },
    },
  };
}

function message({ id, generation, state }: RememberedSandbox) {
  const now = BigInt(Date.now());
  return { id, generation, state, startedAtMs: now, lastActiveAtMs: now, pausedAtMs: now };
}

function measured(id: string) {
  return { id, ownBytes: 1_000n, totalBytes: 5_000n };
}
