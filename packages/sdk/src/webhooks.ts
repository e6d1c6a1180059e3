import {
  WebhookDelivery as DeliverySchema,
  WebhookDeliveryList,
  WebhookList,
  Webhook as WebhookSchema,
  type WebhookDelivery as WireDelivery,
  type Webhook as WireWebhook,
  WebhookWithSecret as WithSecretSchema,
} from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys, toSnakeKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import type { Transport } from './transport.js';

/** A receiver of events. */
export type Webhook = CamelKeys<WireWebhook>;

/** A receiver with the secret its requests are signed with, which is shown this once: for `verifyWebhook`. */
export type WebhookWithSecret = CamelKeys<WithSecretSchema>;

/** What was sent to a receiver, and how that went. */
export type WebhookDelivery = CamelKeys<WireDelivery>;

export interface NewWebhook extends CallOptions {
  /** Types of events that are sent. Default: all. */
  readonly events?: readonly string[] | undefined;
  /** Default: true. */
  readonly enabled?: boolean | undefined;
}

export interface WebhookChanges extends NewWebhook {
  readonly url?: string | undefined;
}

/** Whom a team tells of its events; for its owners and admins. */
export class Webhooks {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** @param url where events are sent from now on */
  async create(url: string, { events, enabled, ...options }: NewWebhook = {}): Promise<WebhookWithSecret> {
    const json = toSnakeKeys({ url, events, enabled });
    const request = { ...options, method: 'POST', path: '/v1/webhooks', json } as const;
    return toCamelKeys(await this.#transport.json(request, WithSecretSchema));
  }

  /** Newest first. */
  list(options: CallOptions = {}): AsyncGenerator<Webhook, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: '/v1/webhooks', query: { cursor } } as const;
      const page = await this.#transport.json(request, WebhookList);
      return { items: page.webhooks.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  async get(id: string, options: CallOptions = {}): Promise<Webhook> {
    const request = { ...options, method: 'GET', path: pathOf(id) } as const;
    return toCamelKeys(await this.#transport.json(request, WebhookSchema));
  }

  /** Disabling gives up on all that is pending. */
  async update(id: string, { url, events, enabled, ...options }: WebhookChanges): Promise<Webhook> {
    const json = toSnakeKeys({ url, events, enabled });
    const request = { ...options, method: 'PATCH', path: pathOf(id), json } as const;
    return toCamelKeys(await this.#transport.json(request, WebhookSchema));
  }

  /** Every request from now on is signed with a new secret. */
  async replaceSecret(id: string, options: CallOptions = {}): Promise<WebhookWithSecret> {
    const request = { ...options, method: 'POST', path: `${pathOf(id)}/secret` } as const;
    return toCamelKeys(await this.#transport.json(request, WithSecretSchema));
  }

  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.send({ ...options, method: 'DELETE', path: pathOf(id) });
  }

  /** Sends a ping now, and tells how that went. */
  async test(id: string, options: CallOptions = {}): Promise<WebhookDelivery> {
    const request = { ...options, method: 'POST', path: `${pathOf(id)}/test` } as const;
    return toCamelKeys(await this.#transport.json(request, DeliverySchema));
  }

  /** What was sent, newest first. */
  deliveries(id: string, options: CallOptions = {}): AsyncGenerator<WebhookDelivery, void, undefined> {
    return eachItem(async (cursor) => {
      const path = `${pathOf(id)}/deliveries`;
      const request = { ...options, method: 'GET', path, query: { cursor } } as const;
      const page = await this.#transport.json(request, WebhookDeliveryList);
      return { items: page.deliveries.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  /** Delivers once more, at once. */
  async retry(id: string, deliveryId: string, options: CallOptions = {}): Promise<WebhookDelivery> {
    const path = `${pathOf(id)}/deliveries/${encodeURIComponent(deliveryId)}/retry`;
    return toCamelKeys(await this.#transport.json({ ...options, method: 'POST', path }, DeliverySchema));
  }
}

function pathOf(id: string): string {
  return `/v1/webhooks/${encodeURIComponent(id)}`;
}
