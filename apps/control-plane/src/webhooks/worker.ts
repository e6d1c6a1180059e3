import type { AttemptResult, ClaimedDelivery } from '@dormouse/store';
import type { Services } from '../context.js';
import { presentEvent } from '../events/present.js';
import { backOffMs } from './schedule.js';
import { ATTEMPT_TIMEOUT_MS } from './sender.js';

/** Attempts under way in one control plane. */
const MAX_AT_ONCE = 64;

/** Of those, to receivers whose last attempt failed: they may be slow, and must leave room for the others. */
const MAX_FAILING = 16;

/** Attempts under way to one receiver. */
const MAX_PER_WEBHOOK = 4;

/** To one whose last attempt failed: one tells whether it is back. */
const MAX_PER_FAILING_WEBHOOK = 1;

/** Longer than any attempt and its recording: whose lease has ended is gone. */
const LEASE_MS = 60_000;
if (LEASE_MS < 3 * ATTEMPT_TIMEOUT_MS) throw new Error('an attempt must end before its lease');

/** What becomes due without news: retries, and what a control plane that died was at. */
const LOOK_EVERY_MS = 1_000;

/** What tests replace. */
export interface WorkerOptions {
  /** What time it is; default: by the database. */
  readonly clock?: () => Promise<Date>;
  /** From 0 up to 1. */
  readonly random?: () => number;
}

/** Makes deliveries, of whichever team, as they become due. Any number of control planes may do it at once. */
export class WebhookWorker {
  readonly #services: Services;
  readonly #clock: () => Promise<Date>;
  readonly #random: () => number;
  readonly #underWay = new Map<Promise<void>, ClaimedDelivery>();

  constructor(services: Services, { clock, random = Math.random }: WorkerOptions = {}) {
    this.#services = services;
    this.#clock = clock ?? (() => services.store.system.now());
    this.#random = random;
  }

  /** Works until stopped, then finishes what is under way. */
  async run(stop: AbortSignal): Promise<void> {
    const { feed, log } = this.#services;
    using events = feed.listenToAll();
    while (!stop.aborted) {
      try {
        await this.begin();
      } catch (err) {
        log.warn({ err }, 'webhooks: cannot look for what is due');
      }
      // Whoever has ended leaves room for others.
      const enough = new AbortController();
      const news = events.news(LOOK_EVERY_MS, AbortSignal.any([stop, enough.signal]));
      await Promise.race([news, ...this.#underWay.keys()]);
      enough.abort();
    }
    await this.idle();
  }

  /** Begins everything that is due, as far as there is room. How many that were. */
  async begin(): Promise<number> {
    let begun = 0;
    for (;;) {
      const at = await this.#clock();
      const taken = (await this.#take(at, false)) + (await this.#take(at, true));
      if (taken === 0) return begun;
      begun += taken;
    }
  }

  /** Waits for everything that is under way. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay.keys());
  }

  /** @param failing of the receivers whose last attempt failed, or of the others */
  async #take(at: Date, failing: boolean): Promise<number> {
    const underWay = [...this.#underWay.values()].map(({ webhook }) => webhook);
    const room = MAX_AT_ONCE - underWay.length;
    const roomForFailing = MAX_FAILING - underWay.filter(({ failures }) => failures > 0).length;
    const limit = failing ? Math.min(room, roomForFailing) : room;
    if (limit <= 0) return 0;
    const most = failing ? MAX_PER_FAILING_WEBHOOK : MAX_PER_WEBHOOK;
    const ids = underWay.map(({ id }) => id);
    const except = ids.filter(
      (id, index) => ids.slice(0, index + 1).filter((one) => one === id).length === most,
    );
    const taken = await this.#services.store.system.webhooks.claim({
      at,
      leaseMs: LEASE_MS,
      limit,
      except,
      failing,
    });
    for (const delivery of taken) this.#start(delivery);
    return taken.length;
  }

  #start(delivery: ClaimedDelivery): void {
    const attempt = this.#attempt(delivery)
      .catch((err: unknown) => {
        // Its lease ends, and somebody tries again.
        this.#services.log.warn({ err, delivery: delivery.id }, 'webhooks: an attempt was not recorded');
      })
      .finally(() => this.#underWay.delete(attempt));
    this.#underWay.set(attempt, delivery);
  }

  async #attempt(delivery: ClaimedDelivery): Promise<void> {
    const { store, webhooks } = this.#services;
    const { id, attempt, attemptsLeft, webhook, event } = delivery;
    const result = await webhooks.send({ webhook, event: presentEvent(event), attempt, deliveryId: id });
    const at = await this.#clock();
    const delayMs = result.error === null ? null : backOffMs(attemptsLeft, this.#random());
    const nextAttemptAt = delayMs === null ? null : new Date(at.getTime() + delayMs);
    await store.system.webhooks.finish(delivery, { at, result, nextAttemptAt });
    this.#count(delivery, result, nextAttemptAt);
  }

  #count({ id, webhook, attempt }: ClaimedDelivery, result: AttemptResult, next: Date | null): void {
    const { metrics, log } = this.#services;
    const { error, durationMs } = result;
    const outcome = error === null ? 'delivered' : 'failed';
    metrics.webhookAttempts.observe({ outcome }, durationMs / 1_000);
    if (next === null) metrics.webhookDeliveries.inc({ state: outcome });
    log.debug({ webhook: webhook.id, delivery: id, attempt, reason: error }, `webhook: attempt ${outcome}`);
  }
}
