import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { Guest, GuestLink } from '@dormouse/guest-link';
import type { MicroVm } from '@dormouse/vmm';

const GREET_TIMEOUT_MS = 30_000;
/** Pause before the next attempt after a failed one, so that a guest that talks garbage costs next to nothing. */
const RETRY_PAUSE_MS = 1_000;
/** How long an operation waits for the link to come back before it gives up, unless it says so. */
const GUEST_WAIT_MS = 15_000;

/**
 * The link to a guest, kept alive for as long as its VM runs: when it is lost, or broken by what the guest sends,
 * it is greeted anew. Processes inside do not notice.
 */
export class GuestSession {
  readonly #vm: MicroVm;
  readonly #onTrouble: (error: DormouseError) => void;
  readonly #over = new AbortController();
  #current: Promise<Guest>;
  #link: GuestLink | undefined;

  /**
   * @param link an open link, or undefined to greet a guest that was served before
   * @param onTrouble told of every lost link and every failed attempt
   */
  constructor(vm: MicroVm, link: GuestLink | undefined, onTrouble: (error: DormouseError) => void) {
    this.#vm = vm;
    this.#onTrouble = onTrouble;
    this.#current = link === undefined ? this.#greet() : this.#adopt(link);
    this.#current.catch(() => {});
    void vm.exited.then(() => this.close());
  }

  /**
   * The guest, as soon as the link stands.
   *
   * @throws DormouseError `guest_unreachable` when it does not stand in time
   */
  async guest(timeoutMs: number = GUEST_WAIT_MS): Promise<Guest> {
    const tooLong = new AbortController();
    const limit = delay(timeoutMs, undefined, { signal: tooLong.signal }).then(() => {
      throw new DormouseError('guest_unreachable', 'the sandbox does not answer', {
        suggestion: 'Its guest may be overloaded or damaged. Try again, or delete the sandbox.',
      });
    });
    limit.catch(() => {});
    try {
      return await Promise.race([this.#current, limit]);
    } finally {
      tooLong.abort();
    }
  }

  /** Ends the session of a VM that has gone or stands still; operations in flight fail with `reason`. Idempotent. */
  drop(reason: DormouseError): void {
    this.#over.abort();
    this.#link?.drop(reason);
  }

  /** Ends the session; operations in flight fail. Idempotent. */
  async close(): Promise<void> {
    this.#over.abort();
    await this.#link?.close();
  }

  async #adopt(link: GuestLink): Promise<Guest> {
    this.#link = link;
    void link.closed.then((reason) => {
      if (this.#over.signal.aborted) return;
      this.#onTrouble(reason ?? new DormouseError('guest_unreachable', 'the link to the guest was closed'));
      this.#current = this.#greet();
      this.#current.catch(() => {});
    });
    return new Guest(link);
  }

  async #greet(): Promise<Guest> {
    for (;;) {
      try {
        const link = await GuestLink.connect(this.#vm.guestSocketPath, {
          attach: true,
          greetTimeoutMs: GREET_TIMEOUT_MS,
          signal: this.#over.signal,
        });
        return await this.#adopt(link);
      } catch (thrown) {
        if (this.#over.signal.aborted) throw new DormouseError('guest_unreachable', 'the VM has ended');
        this.#onTrouble(fromUnknown(thrown));
        await delay(RETRY_PAUSE_MS, undefined, { signal: this.#over.signal }).catch(() => {});
      }
    }
  }
}
