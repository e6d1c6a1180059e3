import { createHmac, randomBytes } from 'node:crypto';

const SECRET_BYTES = 32;

/** A new secret of a webhook: `whsec_` and 64 hex digits. */
export function generateWebhookSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString('hex')}`;
}

/**
 * The value of `Dormouse-Signature`: `t=<unix seconds>,v1=<hex>`, HMAC-SHA256 of `<t>.<body>` with the whole secret,
 * `whsec_` included, as its key. The SDK's `verifyWebhook` is the other end.
 */
export function signWebhook(secret: string, timestampSec: number, body: string): string {
  const mac = createHmac('sha256', secret).update(`${timestampSec}.${body}`).digest('hex');
  return `t=${timestampSec},v1=${mac}`;
}
