import { randomBytes } from 'node:crypto';
import type { Guest } from '@dormouse/guest-link';
import { USER_NETWORK } from '@dormouse/network';
import type { SandboxLog } from '../config/sandbox-log.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';

const SEED_BYTES = 64;
const MACHINE_ID_BYTES = 16;
const NS_PER_MS = 1_000_000n;

/**
 * Gives a guest that is to be a sandbox of its own, booted or a copy of another, what must be its own before any of its
 * programs runs: name, machine id, defaults of commands, network, clock, randomness. Without internet the interface stays down,
 * so that attempts fail at once instead of waiting for nobody.
 */
export async function wakeNew(guest: Guest, spec: SandboxSpec, log: SandboxLog): Promise<void> {
  const onWarning = warnTo(log);
  const { guestAddress, gateway, nameServer } = USER_NETWORK;
  await Promise.all([
    guest.configure(
      {
        hostname: spec.hostname,
        defaultUser: spec.user,
        ...(spec.workdir === undefined ? {} : { defaultDirectory: spec.workdir }),
        environment: spec.envs,
        replaceEnvironment: true,
      },
      { onWarning },
    ),
    guest.configureNetwork(spec.internet ? { address: guestAddress, gateway, nameServer } : { address: '' }, {
      onWarning,
    }),
  ]);
  const machineId = randomBytes(MACHINE_ID_BYTES).toString('hex');
  await guest.wake({ ...present(), machineId }, { onWarning });
}

/** Reports files of the guest that its agent could not write. The guest wakes all the same. */
function warnTo(log: SandboxLog): (warning: string) => void {
  return (warning) =>
    log.warn({ warning }, "the guest agent could not set everything that is the sandbox's own");
}

/** Lets a guest go on as the one it was, with the present time and randomness that no copy of it has. */
export async function wakeAgain(guest: Guest): Promise<void> {
  await guest.wake(present());
}

function present(): { readonly unixNs: bigint; readonly entropy: Uint8Array } {
  return { unixNs: BigInt(Date.now()) * NS_PER_MS, entropy: randomBytes(SEED_BYTES) };
}
