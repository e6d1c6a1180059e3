import type { Webhook, WebhookDelivery, WebhookList, WebhookWithSecret } from '@dormouse/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { ask, newPerson, type Refusal } from '../testing/people.js';

let plane: TestControlPlane;
let api: ApiClient;

/** What names lead to; others have no address. */
const NAMES: Record<string, readonly string[]> = {
  'public.example.org': ['93.184.215.14', '2606:4700::1'],
  'inside.example.org': ['93.184.215.14', '10.0.0.7'],
  'metadata.example.org': ['169.254.169.254'],
};

beforeAll(async () => {
  const resolve = async (name: string) => {
    const addresses = NAMES[name];
    if (addresses === undefined) throw Object.assign(new Error('no'), { code: 'ENOTFOUND' });
    return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  };
  plane = await startTestControlPlane({}, { resolve });
}, 60_000);
afterAll(() => plane.close(), 60_000);

beforeEach(async () => {
  api = new ApiClient(plane, (await plane.newTeam()).key);
});

const URL_OF_SOMEBODY = 'https://public.example.org/hook?a=1';
const made = async (json: object = {}) =>
  (await api.post<WebhookWithSecret>('/v1/webhooks', { url: URL_OF_SOMEBODY, ...json })).body;

describe('webhooks', () => {
  test('are made, looked at, changed and deleted', async () => {
    const { secret, ...webhook } = await made({ events: ['sandbox.paused', 'snapshot.created'] });
    expect(webhook).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      url: URL_OF_SOMEBODY,
      events: ['sandbox.paused', 'snapshot.created'],
      enabled: true,
      failures: 0,
      created_by: expect.stringMatching(/^[0-9a-f-]{36}$/),
      created_at: expect.stringMatching(/Z$/),
    });
    const path = `/v1/webhooks/${webhook.id}`;
    expect((await api.ask<Webhook>('GET', path)).body).toEqual(webhook);
    const changes = { url: 'http://public.example.org/', events: [], enabled: false };
    expect((await api.ask<Webhook>('PATCH', path, changes)).body).toEqual({ ...webhook, ...changes });
    expect((await api.ask<Webhook>('PATCH', path, {})).body).toEqual({ ...webhook, ...changes });
    expect((await api.ask('DELETE', path)).status).toBe(204);
    for (const [method, where] of [
      ['GET', path],
      ['DELETE', path],
      ['GET', `${path}/deliveries`],
      ['POST', `${path}/test`],
      ['POST', `${path}/secret`],
      ['GET', '/v1/webhooks/x'],
    ] as const) {
      expect((await api.refusal(method, where)).code).toBe('not_found');
    }
    expect(secret).toMatch(/^whsec_[0-9a-f]{64}$/);
  });

  test('are listed in pages, newest first, and there may be twenty', async () => {
    const ids: string[] = [];
    for (let index = 0; index < 20; index++) ids.unshift((await made()).id);
    expect(await api.refusal('POST', '/v1/webhooks', { url: URL_OF_SOMEBODY })).toEqual({
      status: 429,
      code: 'quota_exceeded',
      message: 'a team may have 20 webhooks. Delete one of them.',
    });
    const first = (await api.ask<WebhookList>('GET', '/v1/webhooks?limit=15')).body;
    const rest = (await api.ask<WebhookList>('GET', `/v1/webhooks?limit=15&cursor=${first.next_cursor}`))
      .body;
    expect([...first.webhooks, ...rest.webhooks].map(({ id }) => id)).toEqual(ids);
    expect(rest.next_cursor).toBeNull();
  });

  test('are the business of owners and admins', async () => {
    const owner = await newPerson(plane, 'owner');
    const member = await newPerson(plane, 'member');
    const members = `/v1/teams/${owner.team.id}/members`;
    await ask(plane, 'POST', members, { token: owner.token, json: { email: member.user.email } });
    const json = { team_id: owner.team.id };
    const { body } = await ask<{ token: string }>(plane, 'POST', '/v1/auth/switch-team', {
      token: member.token,
      json,
    });
    const { id } = (
      await ask<Webhook>(plane, 'POST', '/v1/webhooks', {
        token: owner.token,
        json: { url: URL_OF_SOMEBODY },
      })
    ).body;
    for (const [method, path, json] of [
      ['POST', '', { url: URL_OF_SOMEBODY }],
      ['GET', '', undefined],
      ['GET', `/${id}`, undefined],
      ['PATCH', `/${id}`, {}],
      ['DELETE', `/${id}`, undefined],
      ['POST', `/${id}/secret`, undefined],
      ['POST', `/${id}/test`, undefined],
      ['GET', `/${id}/deliveries`, undefined],
      ['POST', `/${id}/deliveries/1/retry`, undefined],
    ] as const) {
      const answer = await ask<Refusal>(plane, method, `/v1/webhooks${path}`, { token: body.token, json });
      expect([method, path, answer.body.error.code]).toEqual([method, path, 'forbidden']);
    }
  });

  test('refuse what can be no receiver and what never happens', async () => {
    for (const url of [
      'ftp://public.example.org/',
      'public.example.org',
      'https://user:pw@public.example.org/',
      'https://user@public.example.org/',
      'https://public.example.org/#part',
      `https://public.example.org/${'x'.repeat(2_048)}`,
      'https://',
      '',
    ]) {
      expect([url, (await api.refusal('POST', '/v1/webhooks', { url })).code]).toEqual([
        url,
        'invalid_request',
      ]);
    }
    const json = { url: URL_OF_SOMEBODY, events: ['sandbox.paused', 'sandbox.exploded'] };
    const message = "events: there is no type 'sandbox.exploded'";
    expect(await api.refusal('POST', '/v1/webhooks', json)).toMatchObject({
      code: 'invalid_request',
      message,
    });
    const { id } = await made();
    expect(await api.refusal('PATCH', `/v1/webhooks/${id}`, json)).toMatchObject({ message });
  });
});

describe('hazard 24: a webhook', () => {
  test('never leads to this host, its networks or its cloud, however that is written', async () => {
    const { id } = await made();
    for (const host of [
      '127.0.0.1',
      '127.1:4050',
      '2130706433',
      '0x7f.0.0.1',
      '0177.0.0.1',
      '0.0.0.0',
      '[::1]:80',
      '[::ffff:127.0.0.1]',
      '[fe80::1]',
      '10.0.0.1',
      '172.20.0.1',
      '192.168.0.1',
      '169.254.169.254',
      '100.100.100.200',
      'inside.example.org',
      'metadata.example.org',
    ]) {
      const url = `http://${host}/`;
      const expected = {
        status: 400,
        code: 'invalid_request',
        message: expect.stringMatching(/^url: the address of the receiver is not a public one/),
      };
      expect([host, await api.refusal('POST', '/v1/webhooks', { url })]).toEqual([host, expected]);
      expect([host, await api.refusal('PATCH', `/v1/webhooks/${id}`, { url })]).toEqual([host, expected]);
    }
    expect((await api.ask<Webhook>('GET', `/v1/webhooks/${id}`)).body.url).toBe(URL_OF_SOMEBODY);
  });

  test('whose name leads elsewhere since it was set is not connected to', async () => {
    const { id } = await made({ url: 'http://later.example.org/' });
    const attempt = async () => (await api.post<WebhookDelivery>(`/v1/webhooks/${id}/test`)).body;
    expect(await attempt()).toMatchObject({
      state: 'failed',
      last_status: null,
      last_error: 'the name of the receiver has no address (ENOTFOUND)',
    });
    NAMES['later.example.org'] = ['127.0.0.1'];
    expect(await attempt()).toMatchObject({
      event_id: null,
      event_type: 'webhook.ping',
      state: 'failed',
      last_error: 'the address of the receiver is not a public one',
    });
  });
});

test('hazard 21: the secret of a webhook is in its first answer alone, and the new one in its own', async () => {
  const { id, secret } = await made({ url: 'https://gone.example.org/' });
  const said: string[] = [];
  const note = async (method: string, path: string, json?: unknown) => {
    said.push(JSON.stringify((await api.ask(method, path, json)).body));
  };
  const path = `/v1/webhooks/${id}`;
  await note('GET', path);
  await note('GET', '/v1/webhooks');
  await note('PATCH', path, { enabled: true, secret });
  await note('PATCH', path, { events: ['sandbox.paused'] });
  await note('POST', `${path}/test`);
  await note('GET', `${path}/deliveries`);
  const { body } = await api.post<WebhookWithSecret>(`${path}/secret`);
  await note('POST', '/v1/webhooks', { url: `https://x:${secret}@public.example.org/` });
  await note('GET', '/v1/audit');
  // Our own mistakes are logged with their causes.
  const { webhooks } = plane.services;
  const send = webhooks.send.bind(webhooks);
  webhooks.send = ({ webhook }) => Promise.reject(Object.assign(new Error('on fire'), { webhook }));
  await note('POST', `${path}/test`);
  webhooks.send = send;
  plane.services.log.info({ webhook: { id, secret } }, 'a mistake');
  expect(plane.logged()).toContain('on fire');
  expect(body.secret).toMatch(/^whsec_[0-9a-f]{64}$/);
  expect(body.secret).not.toBe(secret);
  const everything = said.join('\n') + plane.logged();
  expect(everything).toContain('webhook.replace_secret');
  for (const one of [secret, body.secret]) expect(everything).not.toContain(one.slice(6));
});
