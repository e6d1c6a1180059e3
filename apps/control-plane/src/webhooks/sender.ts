import { signWebhook } from '@dormouse/auth';
import type { Event } from '@dormouse/contracts';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import type { AttemptResult, SignedWebhook } from '@dormouse/store';
import { post } from './post.js';
import { addressesOf, type ReceiverRules } from './receiver.js';

/** How long a receiver may take, from its name to the end of its answer. */
export const ATTEMPT_TIMEOUT_MS = 10_000;

export interface SenderOptions extends ReceiverRules {
  /** Default 10 s. */
  readonly timeoutMs?: number;
}

/** One attempt to tell a webhook of something. */
export interface Attempt {
  readonly webhook: Pick<SignedWebhook, 'id' | 'url' | 'secret'>;
  readonly event: Event;
  /** Counts from 1. */
  readonly attempt: number;
  /** Stays the same in all attempts; null for a ping. */
  readonly deliveryId: string | null;
}

/** Tells one receiver of one event, once. */
export class WebhookSender {
  readonly rules: ReceiverRules;
  readonly #timeoutMs: number;

  constructor({ timeoutMs = ATTEMPT_TIMEOUT_MS, ...rules }: SenderOptions) {
    this.rules = rules;
    this.#timeoutMs = timeoutMs;
  }

  /** Never throws: what goes wrong is the result. */
  async send({ webhook, event, attempt, deliveryId }: Attempt): Promise<AttemptResult> {
    const startedMs = performance.now();
    const timeout = new AbortController();
    const late = new DormouseError('timeout', `no answer within ${this.#timeoutMs} ms`);
    const timer = setTimeout(() => timeout.abort(late), this.#timeoutMs);
    const ended = (status: number | null, error: string | null): AttemptResult => ({
      status,
      error,
      durationMs: Math.round(performance.now() - startedMs),
    });
    try {
      const status = await this.#post({ webhook, event, attempt, deliveryId }, timeout.signal);
      return ended(status, problemOf(status));
    } catch (error) {
      return ended(null, describe(timeout.signal.aborted ? late : error));
    } finally {
      clearTimeout(timer);
    }
  }

  async #post({ webhook, event, attempt, deliveryId }: Attempt, signal: AbortSignal): Promise<number> {
    const url = new URL(webhook.url);
    const addresses = await Promise.race([addressesOf(url, this.rules), aborted(signal)]);
    const body = JSON.stringify(event);
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'Dormouse-Webhooks',
      'dormouse-signature': signWebhook(webhook.secret, Math.floor(Date.now() / 1_000), body),
      'dormouse-webhook-id': webhook.id,
      'dormouse-event-id': event.id,
      'dormouse-event-type': event.type,
      'dormouse-attempt': String(attempt),
      ...(deliveryId === null ? {} : { 'dormouse-delivery-id': deliveryId }),
    };
    return post({ url, addresses, headers, body, signal });
  }
}

/** A look-up cannot be called off; whoever waits for it can. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Why an answer is none that counts; null: it does. */
function problemOf(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400) return `answered ${status}; redirects are not followed`;
  return `answered ${status}`;
}

/** For the log of deliveries: never what a library says, which may hold addresses of our network. */
function describe(error: unknown): string {
  if (error instanceof DormouseError) return error.message;
  const code = systemErrorCode(error);
  switch (code) {
    case undefined:
      return 'the request failed';
    case 'ECONNREFUSED':
      return 'the receiver refused the connection (ECONNREFUSED)';
    case 'ECONNRESET':
    case 'EPIPE':
      return `the receiver hung up (${code})`;
    default:
      return `the request failed (${code})`;
  }
}
