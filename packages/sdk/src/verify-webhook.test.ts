import { expect, test } from 'vitest';
import { DormouseError, type VerifyOptions, verifyWebhook, type WebhookHeaders } from './index.js';

const SECRET = `whsec_${'00112233'.repeat(8)}`;
const SIGNED_SEC = 1_767_225_600;
const nowMs = SIGNED_SEC * 1_000;
const BODY =
  '{"id":"4711","type":"sandbox.paused","sandbox_id":"sb4f9k2m7q1x8c3v6b0n5z","snapshot_id":null,"actor":"system","reason":"ü 🐭","data":{"some_key":1},"at":"2026-01-31T09:30:00.000Z"}';

/** Made with `openssl dgst -sha256 -hmac`, as those of the signing side. */
const MAC = 'c1d3538fc12c09b9d22d5b0a22185fbbcd681c0b3dc9a7e983dbeab2f65ead7b';
const SHORT_MAC = 'fa0ff0903ea3d2f44d2404de1effcb50783fb52fb51c14767f68895bd4ad79b2';
const headers = { 'dormouse-signature': `t=${SIGNED_SEC},v1=${MAC}`, 'dormouse-attempt': '3' };

function refusal(
  changed: WebhookHeaders,
  body: string | Uint8Array = BODY,
  options: VerifyOptions = { nowMs },
  secret = SECRET,
): readonly string[] {
  try {
    verifyWebhook(secret, changed, body, options);
  } catch (error) {
    if (error instanceof DormouseError) return [error.code, error.message];
    throw error;
  }
  throw new Error('it was taken');
}

test('golden values: an event, from whichever kind of headers and body', () => {
  const message = {
    event: {
      id: '4711',
      type: 'sandbox.paused',
      sandboxId: 'sb4f9k2m7q1x8c3v6b0n5z',
      snapshotId: null,
      actor: 'system',
      reason: 'ü 🐭',
      data: { some_key: 1 },
      at: '2026-01-31T09:30:00.000Z',
    },
    attempt: 3,
  };
  const signature = headers['dormouse-signature'];
  for (const some of [
    headers,
    new Headers(headers),
    { 'Dormouse-Signature': [signature], 'DORMOUSE-ATTEMPT': '3' },
    { ...headers, 'dormouse-signature': `v1=${SHORT_MAC}, v0=zz, t=${SIGNED_SEC}, v1=${MAC}` },
  ]) {
    expect(verifyWebhook(SECRET, some, BODY, { nowMs })).toEqual(message);
    expect(verifyWebhook(SECRET, some, Buffer.from(BODY), { nowMs })).toEqual(message);
  }
  // The other golden value is genuine, and no event.
  expect(
    refusal(
      { 'dormouse-signature': `t=${SIGNED_SEC},v1=${SHORT_MAC}` },
      '{"id":"4711","type":"sandbox.paused"}',
    ),
  ).toEqual(['invalid_request', 'the body is no event']);
});

test('nothing else is taken', () => {
  const wrong = ['unauthorized', 'the signature is not of this secret and body'];
  expect(refusal(headers, `${BODY} `)).toEqual(wrong);
  expect(refusal(headers, BODY.replace('4711', '4712'))).toEqual(wrong);
  expect(refusal(headers, BODY, { nowMs }, SECRET.replace('0', '1'))).toEqual(wrong);
  expect(refusal({ 'dormouse-signature': `t=${SIGNED_SEC + 1},v1=${MAC}` })).toEqual(wrong);
  expect(refusal({ 'dormouse-signature': `t=${SIGNED_SEC},v1=${SHORT_MAC}` })).toEqual(wrong);
  const malformed = ['unauthorized', 'Dormouse-Signature is not of the form t=…,v1=…'];
  for (const signature of [
    '',
    MAC,
    `t=${SIGNED_SEC}`,
    `v1=${MAC}`,
    `t=x,v1=${MAC}`,
    `t=${SIGNED_SEC},v1=${MAC.slice(2)}`,
    `t=${SIGNED_SEC},v1=${MAC}00`,
    `t=${SIGNED_SEC},v0=${MAC}`,
    `t=${SIGNED_SEC},v1=${MAC.toUpperCase()}`,
  ]) {
    expect([signature, ...refusal({ 'dormouse-signature': signature })]).toEqual([signature, ...malformed]);
  }
  expect(refusal({})).toEqual(['unauthorized', 'there is no Dormouse-Signature']);
});

test('five minutes either way, unless another tolerance is given', () => {
  const at = (sec: number) => ({ nowMs: nowMs + sec * 1_000 });
  for (const sec of [-300, 0, 300]) expect(verifyWebhook(SECRET, headers, BODY, at(sec)).attempt).toBe(3);
  for (const sec of [-301, 301]) {
    expect(refusal(headers, BODY, at(sec))).toEqual([
      'unauthorized',
      'the request was not signed within 300 s of now',
    ]);
  }
  expect(refusal(headers, BODY, { ...at(11), toleranceSec: 10 })[1]).toBe(
    'the request was not signed within 10 s of now',
  );
});
