import { hash, parseOptions, verify } from '@node-rs/argon2';

/** What a hash costs. Guessing costs an attacker the same each time. */
export interface PasswordCost {
  readonly memoryKib: number;
  readonly passes: number;
  /** Threads of one hash. */
  readonly lanes: number;
}

/**
 * 19 MiB and two passes on one thread: the least that OWASP recommends for argon2id, some 20 to 40 ms on a core of
 * a server. One thread, because several people log in at once on machines with few cores; little memory, because
 * what a hash takes is taken from sandboxes. May grow: older hashes are made again at the next login.
 */
export const PASSWORD_COST: PasswordCost = { memoryKib: 19_456, passes: 2, lanes: 1 };

/** argon2id in the terms of the library, whose enum does not exist at run time. */
const ARGON2ID = 2;

/** A hash to keep, in the PHC format: it names its algorithm and cost and holds its salt. */
export function hashPassword(password: string, cost: PasswordCost = PASSWORD_COST): Promise<string> {
  return hash(canonical(password), {
    algorithm: ARGON2ID,
    memoryCost: cost.memoryKib,
    timeCost: cost.passes,
    parallelism: cost.lanes,
  });
}

/** Whether a password is the one that was hashed, in a time that does not depend on the password. */
export function verifyPassword(stored: string, password: string): Promise<boolean> {
  return verify(stored, canonical(password));
}

/** The same letters typed on another keyboard may come in other code points (NIST SP 800-63B, 3.1.1.2). */
function canonical(password: string): string {
  return password.normalize('NFKC');
}

/** Whether a hash is weaker than those that are made now. One that is stronger stays. */
export function needsRehash(stored: string, cost: PasswordCost = PASSWORD_COST): boolean {
  const { algorithm, memoryCost, timeCost } = parseOptions(stored);
  return algorithm !== ARGON2ID || memoryCost < cost.memoryKib || timeCost < cost.passes;
}
