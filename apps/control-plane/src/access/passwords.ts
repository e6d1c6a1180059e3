import { randomBytes } from 'node:crypto';
import { hashPassword, verifyPassword } from '@dormouse/auth';
import { DormouseError } from '@dormouse/errors';

/** Hashes at once. Node.js has four threads for this and for all files; two stay free. */
const AT_ONCE = 2;

/** Callers that may wait: at some 40 ms a hash the last one waits about a second. */
const MOST_WAITING = 64;

/** Hashes and checks passwords, a few at a time. */
export class Passwords {
  /** What a password is compared with where there is none: nobody knows the password of this hash. */
  readonly #decoy: Promise<string> = hashPassword(randomBytes(32).toString('hex'));
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** @throws DormouseError `unavailable` when too many are waiting */
  hash(password: string): Promise<string> {
    return this.#inTurn(() => hashPassword(password));
  }

  /**
   * Whether a password fits. Takes as long when there is nothing to fit.
   *
   * @param stored the hash; null or undefined: there is none
   * @throws DormouseError `unavailable` when too many are waiting
   */
  fits(stored: string | null | undefined, password: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const fits = await verifyPassword(stored ?? (await this.#decoy), password);
      return fits && typeof stored === 'string';
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= AT_ONCE) {
      if (this.#waiting.length >= MOST_WAITING) {
        throw new DormouseError('unavailable', 'too many people are logging in at this moment', {
          notBegun: true,
        });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Whoever comes next takes over the place.
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
