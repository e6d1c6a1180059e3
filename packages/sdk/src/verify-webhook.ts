import { createHmac, timingSafeEqual } from 'node:crypto';
import { Event as WireEvent } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { toCamelKeys } from './case.js';
import type { SandboxEvent } from './events.js';
import { parseJson } from './parse-json.js';

/** Headers as `fetch` has them, or as Node.js has them. */
export type WebhookHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** How old a request may be, or how far ahead its clock. Default: 300. */
  readonly toleranceSec?: number;
  /** What time it is, in milliseconds since 1970. Default: now. */
  readonly nowMs?: number;
}

/** A request of a webhook that came from the server and nobody else. */
export interface WebhookMessage {
  /** What happened; of type `webhook.ping` when somebody tries the webhook. */
  readonly event: SandboxEvent;
  /** Counts from 1. `event.id` is the same in all attempts: whoever has seen it can drop this one. */
  readonly attempt: number;
}

const DEFAULT_TOLERANCE_SEC = 300;
const MAC_BYTES = 32;
const MAC_PATTERN = /^[0-9a-f]{64}$/;

/**
 * Checks that a request of a webhook was signed with its secret, and lately, and reads it.
 *
 * @param body exactly as it came: parsed and written again it is another one
 * @throws DormouseError `unauthorized`, or `invalid_request` for a body that was signed and is no event
 */
export function verifyWebhook(
  secret: string,
  headers: WebhookHeaders,
  body: string | Uint8Array,
  { toleranceSec = DEFAULT_TOLERANCE_SEC, nowMs = Date.now() }: VerifyOptions = {},
): WebhookMessage {
  const { timestamp, macs } = signatureOf(headers);
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const expected = createHmac('sha256', secret).update(`${timestamp}.`).update(bytes).digest();
  let isGenuine = false;
  for (const mac of macs) isGenuine = timingSafeEqual(expected, mac) || isGenuine;
  if (!isGenuine) throw unauthorized('the signature is not of this secret and body');
  if (Math.abs(nowMs / 1_000 - Number(timestamp)) > toleranceSec) {
    throw unauthorized(`the request was not signed within ${toleranceSec} s of now`);
  }
  const parsed = WireEvent.safeParse(parseJson(Buffer.from(bytes).toString('utf8')));
  if (!parsed.success) throw new DormouseError('invalid_request', 'the body is no event');
  return { event: toCamelKeys(parsed.data), attempt: Number(header(headers, 'dormouse-attempt') ?? 1) };
}

/** `t=<unix seconds>,v1=<hex>`; there may be several of `v1`, and others beside it. */
function signatureOf(headers: WebhookHeaders): { timestamp: string; macs: readonly Buffer[] } {
  const text = header(headers, 'dormouse-signature');
  if (text === undefined) throw unauthorized('there is no Dormouse-Signature');
  const parts = text.split(',').map((part) => part.trim());
  const timestamp = parts.find((part) => /^t=\d{1,12}$/.test(part))?.slice(2);
  const macs = parts
    .filter((part) => part.startsWith('v1='))
    .map((part) => part.slice(3))
    .filter((mac) => MAC_PATTERN.test(mac))
    .map((mac) => Buffer.from(mac, 'hex'));
  if (timestamp === undefined || macs.every(({ length }) => length !== MAC_BYTES)) {
    throw unauthorized('Dormouse-Signature is not of the form t=…,v1=…');
  }
  return { timestamp, macs };
}

function header(headers: WebhookHeaders, name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const value = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return typeof value === 'string' ? value : value?.[0];
}

function unauthorized(message: string): DormouseError {
  return new DormouseError('unauthorized', message);
}
