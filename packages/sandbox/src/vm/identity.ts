import { randomBytes } from 'node:crypto';
import type { Guest } from '@dormouse/guest-link';
import { USER_NETWORK } from '@dormouse/network';
import type { SandboxSpec } from '../config/sandbox-spec.js';

const SEED_BYTES = 64;
const MACHINE_ID_BYTES = 16;
const NS_PER_MS = 1_000_000n;

/**
 * Gives a guest that is to be a sandbox of its own, booted or a copy of another, what must be its own before any of its
 * programs runs: name, machine id, defaults of commands, network, clock, randomness. Without internet the interface stays down,
 * so that attempts fail at once instead of waiting for nobody.
 */
export async function wakeNew(guest: Guest, spec: SandboxSpec): Promise<void> {
  const { guestAddress, gateway, nameServer } = USER_NETWORK;
  await Promise.all([
    guest.configure({
      hostname: spec.hostname,
      defaultUser: spec.user,
      ...(spec.workdir === undefined ? {} : { defaultDirectory: spec.workdir }),
      environment: spec.envs,
      replaceEnvironment: true,
    }),
    guest.configureNetwork(spec.internet ? { address: guestAddress, gateway, nameServer } : { address: '' }),
  ]);
  await guest.wake({ ...present(), machineId: randomBytes(MACHINE_ID_BYTES).toString('hex') });
}

/** Lets a guest go on as the one it was, with the present time and randomness that no copy of it has. */
export async function wakeAgain(guest: Guest): Promise<void> {
  await guest.wake(present());
}

function present(): { readonly unixNs: bigint; readonly entropy: Uint8Array } {
  return { unixNs: BigInt(Date.now()) * NS_PER_MS, entropy: randomBytes(SEED_BYTES) };
}
