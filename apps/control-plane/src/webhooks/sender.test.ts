import { expect, test } from 'vitest';
import { Receiver, type ReceiverAnswer } from '../testing/receiver.js';
import type { Resolve } from './receiver.js';
import { WebhookSender } from './sender.js';

const TIMEOUT_MS = 300;
const event = {
  id: '1',
  type: 'sandbox.paused',
  sandbox_id: null,
  snapshot_id: null,
  actor: 'system',
  reason: null,
  data: {},
  at: '2026-01-31T09:30:00.000Z',
};

async function send(url: string, resolve: Resolve = async () => [{ address: '127.0.0.1', family: 4 }]) {
  const sender = new WebhookSender({ allowPrivate: true, resolve, timeoutMs: TIMEOUT_MS });
  const webhook = { id: 'w', url, secret: 'whsec_1' };
  const { durationMs, ...result } = await sender.send({ webhook, event, attempt: 1, deliveryId: null });
  expect(durationMs).toBeLessThan(5_000);
  return result;
}

const LATE = { status: null, error: 'no answer within 300 ms' };

test('every wait has a bound: for the name, for the answer', async () => {
  expect(await send('http://slow.example.org/', () => new Promise(() => {}))).toEqual(LATE);
  await using silent = await Receiver.start(() => {});
  expect(await send(silent.url)).toEqual(LATE);
});

test('the head of an answer is what counts, however its body goes on', async () => {
  const stall: ReceiverAnswer = (response) => {
    response.writeHead(200, { 'content-length': '10' });
    response.write('x');
  };
  const breakOff: ReceiverAnswer = (response) => {
    response.writeHead(202, { 'content-length': '10' });
    response.write('x', () => response.destroy());
  };
  const refuse: ReceiverAnswer = (response) => response.writeHead(410).end('gone'.repeat(100_000));
  await using receiver = await Receiver.start(stall, breakOff, refuse);
  expect(await send(receiver.url)).toEqual({ status: 200, error: null });
  expect(await send(receiver.url)).toEqual({ status: 202, error: null });
  expect(await send(receiver.url)).toEqual({ status: 410, error: 'answered 410' });
});

test('what is no HTTP, and nobody at all, are told apart', async () => {
  await using receiver = await Receiver.start((response) => response.socket?.end('SSH-2.0-x\r\n\r\n'));
  const { port } = receiver;
  expect(await send(receiver.url)).toEqual({
    status: null,
    error: 'the request failed (HPE_INVALID_CONSTANT)',
  });
  expect(await send(`https://127.0.0.1:${port}/`)).toMatchObject({
    status: null,
    error: expect.stringMatching(/^the request failed \(|^the receiver hung up/),
  });
  await receiver[Symbol.asyncDispose]();
  expect(await send(`http://127.0.0.1:${port}/`)).toEqual({
    status: null,
    error: 'the receiver refused the connection (ECONNREFUSED)',
  });
});
