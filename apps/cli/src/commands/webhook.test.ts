import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { buildProgram } from '../program.js';

const ID = '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c01';
const at = '2026-01-31T09:30:00.000Z';
const webhook = {
  id: ID,
  url: 'https://hooks.example.org/',
  events: ['sandbox.paused', 'sandbox.resumed'],
  enabled: true,
  failures: 2,
  created_by: null,
  created_at: at,
};
const delivery = {
  id: '7',
  event_id: '4711',
  event_type: 'sandbox.paused',
  state: 'pending',
  attempts: 2,
  next_attempt_at: at,
  last_attempt_at: at,
  last_status: 500,
  last_error: 'answered 500',
  durations_ms: [9, 12],
  created_at: at,
};
const taken = {
  ...delivery,
  id: '8',
  state: 'delivered',
  last_status: 204,
  last_error: null,
  next_attempt_at: null,
};

/** What the server answers, by method and path. */
let answers: Record<string, readonly [number, unknown]>;
let server: Server;
let asked: string[];
let printed: string;

beforeEach(async () => {
  asked = [];
  answers = {
    'POST /v1/webhooks': [201, { ...webhook, secret: 'whsec_1' }],
    'GET /v1/webhooks': [
      200,
      { webhooks: [webhook, { ...webhook, events: [], enabled: false }], next_cursor: null },
    ],
    [`PATCH /v1/webhooks/${ID}`]: [200, webhook],
    [`POST /v1/webhooks/${ID}/secret`]: [200, { ...webhook, secret: 'whsec_2' }],
    [`POST /v1/webhooks/${ID}/deliveries/7/retry`]: [200, delivery],
    [`DELETE /v1/webhooks/${ID}`]: [204, undefined],
    [`POST /v1/webhooks/${ID}/test`]: [200, taken],
    [`GET /v1/webhooks/${ID}/deliveries`]: [200, { deliveries: [taken, delivery], next_cursor: 'more' }],
  };
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => {
      body += piece;
    });
    request.on('end', () => {
      const name = `${request.method} ${request.url?.split('?')[0]}`;
      asked.push(`${name} ${body}`.trim());
      const [status, answer] = answers[name] ?? [500, {}];
      response.writeHead(status).end(answer === undefined ? undefined : JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  vi.stubEnv('DORMOUSE_API_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  vi.stubEnv('DORMOUSE_API_KEY', 'dor_1');
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  process.exitCode = undefined;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function dormouse(line: string): Promise<string> {
  printed = '';
  await buildProgram({ json: true }).parseAsync(line.split(' '), { from: 'user' });
  return printed;
}

test('webhooks are made, listed and deleted', async () => {
  const url = 'https://hooks.example.org/';
  const options = '--event sandbox.paused --event sandbox.resumed --disabled';
  expect(await dormouse(`webhook create ${url} ${options}`)).toBe(`${ID} whsec_1\n`);
  expect(JSON.parse(await dormouse(`webhook create ${url} --json`))).toMatchObject({
    id: ID,
    secret: 'whsec_1',
  });
  expect(await dormouse('webhook ls')).toBe(
    [
      'ID                                    STATE           EVENTS                          URL',
      `${ID}  failed 2 times  sandbox.paused sandbox.resumed  ${url}`,
      `${ID}  disabled        all                             ${url}`,
      '',
    ].join('\n'),
  );
  expect(JSON.parse(await dormouse('webhook ls --json'))).toMatchObject([
    { failures: 2 },
    { enabled: false },
  ]);
  expect(await dormouse(`webhook rm ${ID}`)).toBe(`${ID}\n`);
  expect(await dormouse(`webhook rm ${ID} --json`)).toBe(`{"removed":["${ID}"]}\n`);
  expect(asked.slice(0, 2)).toEqual([
    `POST /v1/webhooks {"url":"${url}","events":["sandbox.paused","sandbox.resumed"],"enabled":false}`,
    `POST /v1/webhooks {"url":"${url}"}`,
  ]);
});

test('webhooks are changed: only what is said', async () => {
  const url = 'https://other.example.org/';
  expect(await dormouse(`webhook update ${ID} --url ${url} --event sandbox.paused --enable`)).toBe(`${ID}\n`);
  expect(await dormouse(`webhook update ${ID} --all-events --disable`)).toBe(`${ID}\n`);
  expect(asked).toEqual([
    `PATCH /v1/webhooks/${ID} {"url":"${url}","events":["sandbox.paused"],"enabled":true}`,
    `PATCH /v1/webhooks/${ID} {"events":[],"enabled":false}`,
  ]);
  await expect(dormouse(`webhook update ${ID}`)).rejects.toThrow('say what to change');
  expect(asked).toHaveLength(2);
});

test('a secret is replaced, and what was given up is delivered once more', async () => {
  expect(await dormouse(`webhook secret ${ID}`)).toBe('whsec_2\n');
  expect(await dormouse(`webhook retry ${ID} 7`)).toBe('7\n');
});

test('a ping tells how it went, and fails with the receiver', async () => {
  expect(await dormouse(`webhook test ${ID}`)).toBe('delivered: answered 204 after 12 ms\n');
  expect(process.exitCode).toBeUndefined();
  answers[`POST /v1/webhooks/${ID}/test`] = [200, { ...delivery, state: 'failed' }];
  expect(await dormouse(`webhook test ${ID}`)).toBe('failed: answered 500 after 12 ms\n');
  expect(process.exitCode).toBe(1);
  expect(JSON.parse(await dormouse(`webhook test ${ID} --json`))).toMatchObject({
    lastError: 'answered 500',
  });
});

test('deliveries are listed, as many as are wanted', async () => {
  expect(await dormouse(`webhook deliveries ${ID} --limit 2`)).toBe(
    [
      'ID  WHEN                      EVENT           STATE      ATTEMPTS  LAST                      NEXT',
      `8   ${at}  sandbox.paused  delivered  2         answered 204 after 12 ms`,
      `7   ${at}  sandbox.paused  pending    2         answered 500 after 12 ms  ${at}`,
      '',
    ].join('\n'),
  );
  expect(JSON.parse(await dormouse(`webhook deliveries ${ID} --limit 1 --json`))).toMatchObject([
    { id: '8' },
  ]);
  expect(asked).toHaveLength(2);
});
