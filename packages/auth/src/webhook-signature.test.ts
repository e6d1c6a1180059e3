import { expect, test } from 'vitest';
import { generateWebhookSecret, signWebhook } from './index.js';

const SECRET = `whsec_${'00112233'.repeat(8)}`;

/** The same values as in the SDK's test, made with `openssl dgst -sha256 -hmac`. */
test('golden values', () => {
  expect(signWebhook(SECRET, 1_767_225_600, '{"id":"4711","type":"sandbox.paused"}')).toBe(
    't=1767225600,v1=fa0ff0903ea3d2f44d2404de1effcb50783fb52fb51c14767f68895bd4ad79b2',
  );
  expect(signWebhook(SECRET, 1_767_225_600, '{"text":"ü 🐭"}')).toBe(
    't=1767225600,v1=e3e5bfca898cc8bed653a0b3903832384449e8833802aff0aada0bbce10f95f3',
  );
});

test('secrets are 256 random bits', () => {
  const secrets = new Set(Array.from({ length: 100 }, generateWebhookSecret));
  expect(secrets.size).toBe(100);
  for (const secret of secrets) expect(secret).toMatch(/^whsec_[0-9a-f]{64}$/);
});
