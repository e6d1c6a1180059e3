import { z } from 'zod';
import { NextCursor } from './paging.js';
import { Timestamp } from './primitives.js';

const MAX_URL_LENGTH = 2_048;
const MAX_KINDS = 64;

/** What a webhook is told when somebody tries it. */
export const PING_TYPE = 'webhook.ping';

const WebhookUrl = z
  .string()
  .max(MAX_URL_LENGTH, `must have at most ${MAX_URL_LENGTH} characters`)
  .refine(isReceiver, 'must be an http or https URL without user, password and fragment')
  .meta({
    description: 'Where events are sent. Unless the server allows it, its address must be a public one',
    example: 'https://hooks.example.org/dormouse',
  });

const EventKinds = z
  .array(z.string().max(64))
  .max(MAX_KINDS, `must have at most ${MAX_KINDS} entries`)
  .meta({ description: 'Types of events that are sent; empty: all', example: ['sandbox.auto_paused'] });

const Enabled = z.boolean().meta({
  description: 'Whether events are sent. Disabling gives up on all that is pending',
  example: true,
});

export const CreateWebhookRequest = z
  .strictObject({ url: WebhookUrl, events: EventKinds.default([]), enabled: Enabled.default(true) })
  .meta({ id: 'CreateWebhookRequest' });
export type CreateWebhookRequest = z.input<typeof CreateWebhookRequest>;

export const UpdateWebhookRequest = z
  .strictObject({ url: WebhookUrl.optional(), events: EventKinds.optional(), enabled: Enabled.optional() })
  .meta({ id: 'UpdateWebhookRequest' });
export type UpdateWebhookRequest = z.input<typeof UpdateWebhookRequest>;

export const Webhook = z
  .object({
    id: z.uuid().meta({ description: 'Id of the webhook', example: '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c01' }),
    url: z
      .string()
      .meta({ description: 'Where events are sent', example: 'https://hooks.example.org/dormouse' }),
    events: EventKinds,
    enabled: Enabled,
    failures: z
      .int()
      .meta({ description: 'Attempts in a row that failed, the last one included', example: 0 }),
    created_by: z.uuid().nullable().meta({ description: 'Id of the user; null: not there any more' }),
    created_at: Timestamp,
  })
  .meta({ id: 'Webhook' });
export type Webhook = z.infer<typeof Webhook>;

export const WebhookWithSecret = Webhook.extend({
  secret: z.string().meta({
    description: 'What requests are signed with, shown this once',
    example: `whsec_${'1a2b3c4d'.repeat(8)}`,
  }),
}).meta({ id: 'WebhookWithSecret' });
export type WebhookWithSecret = z.infer<typeof WebhookWithSecret>;

export const WebhookList = z
  .object({
    webhooks: z.array(Webhook).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'WebhookList' });
export type WebhookList = z.infer<typeof WebhookList>;

export const WebhookDelivery = z
  .object({
    id: z.string().meta({ description: 'Id of the delivery', example: '1234' }),
    event_id: z.string().nullable().meta({ description: 'null: a ping', example: '4711' }),
    event_type: z
      .string()
      .meta({ description: 'Type of the event that is told of', example: 'sandbox.auto_paused' }),
    state: z.enum(['pending', 'delivered', 'failed']).meta({
      description: '`failed`: given up; it can be retried by hand',
      example: 'delivered',
    }),
    attempts: z.int().meta({ description: 'Attempts that were begun', example: 1 }),
    next_attempt_at: Timestamp.nullable().meta({ description: 'null unless `pending`' }),
    last_attempt_at: Timestamp.nullable(),
    last_status: z.int().nullable().meta({ description: 'HTTP status of the last answer', example: 200 }),
    last_error: z.string().nullable().meta({ description: 'Why the last attempt failed', example: null }),
    durations_ms: z.array(z.int()).meta({
      description: 'How long the last attempts took, the newest last; at most 20',
      example: [48],
    }),
    created_at: Timestamp,
  })
  .meta({ id: 'WebhookDelivery' });
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

export const WebhookDeliveryList = z
  .object({
    deliveries: z.array(WebhookDelivery).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'WebhookDeliveryList' });
export type WebhookDeliveryList = z.infer<typeof WebhookDeliveryList>;

/** Whether something can be sent there at all. A user or password would be a secret in every list of webhooks. */
function isReceiver(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, hash } = new URL(text);
  return (protocol === 'http:' || protocol === 'https:') && username + password + hash === '';
}
