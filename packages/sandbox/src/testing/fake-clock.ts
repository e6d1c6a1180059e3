import type { Clock } from '../expiry/activity.js';

/** A clock that goes when it is told to. */
export class FakeClock implements Clock {
  #wallMs = 1_767_323_045_678;
  #monotonicMs = 1_000;

  readonly wallMs = (): number => this.#wallMs;
  readonly monotonicMs = (): number => this.#monotonicMs;

  advance(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }

  /** Somebody sets the time of the host. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }
}
