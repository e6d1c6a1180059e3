import type { CreatedApiKey, Session } from '@dormouse/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { ask } from '../testing/people.js';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);

/** No two of them share a part, so that whatever turns up tells where it comes from. */
const PASSWORDS = ['the first aardvark digs', 'a wrong badger climbs', 'short', 'PassWord1'];

test('hazard 21: passwords, tokens and keys are in no log, no error and no audit log, whatever becomes of the request', async () => {
  const answers: string[] = [];
  const send = async <Body>(method: string, path: string, json?: unknown, token?: string) => {
    const answer = await ask<Body>(plane, method, path, {
      ...(json === undefined ? {} : { json }),
      ...(token === undefined ? {} : { token }),
    });
    if (answer.status >= 400) answers.push(JSON.stringify(answer.body));
    return answer.body;
  };
  const email = 'ada@example.org';
  const [right, wrong, short, common] = PASSWORDS;
  const session = await send<Session>('POST', '/v1/auth/signup', { email, password: right });
  const again = await send<Session>('POST', '/v1/auth/login', { email, password: right });
  const key = await send<CreatedApiKey>('POST', '/v1/api-keys', { name: 'ci' }, session.token);
  for (const password of [right, short, common]) await send('POST', '/v1/auth/signup', { email, password });
  await send('POST', '/v1/auth/signup', { email: 'no address', password: right, [String(wrong)]: 1 });
  await send('POST', '/v1/auth/signup', { email, password: { text: right } });
  for (const who of [email, 'nobody@example.org']) {
    await send('POST', '/v1/auth/login', { email: who, password: wrong });
  }
  const changed = [`${session.token.slice(0, -3)}AAA`, `${key.key.slice(0, -3)}000`, `${key.key}0`];
  for (const credential of [session.token, key.key, ...changed]) {
    await send('GET', '/v1/me', undefined, credential);
    await send('POST', '/v1/teams', { name: '' }, credential);
    await send('GET', '/v1/sandboxes/nothing', undefined, credential);
    await fetch(`${plane.url}/v1/sandboxes`, { headers: { 'x-api-key': credential } });
    const url = `${plane.url.replace('http', 'ws')}/v1/sandboxes/nothing/exec/stream`;
    for (const headers of [{ authorization: `Bearer ${credential}` }, {}]) {
      answers.push(
        ...(await conversation(new WebSocket(url, { headers }), { type: 'auth', token: credential })),
      );
    }
  }
  // Our own mistakes are logged with their causes.
  const { accounts } = plane.services.store.system;
  const original = accounts.userByEmail.bind(accounts);
  accounts.userByEmail = () => Promise.reject(new Error('the database is on fire'));
  await send('POST', '/v1/auth/login', { email, password: right });
  accounts.userByEmail = original;
  expect(plane.logged()).toContain('the database is on fire');

  const audit = JSON.stringify(await send('GET', '/v1/audit', undefined, session.token));
  expect(audit).toContain('user.login');
  const signatures = [session, again].map(({ token }) => token.split('.')[2]!);
  const secrets = [
    right,
    wrong,
    session.token,
    again.token,
    key.key,
    key.key.slice(12),
    ...signatures,
    ...changed,
  ];
  const everything = { log: plane.logged(), audit, errors: answers.join('\n') };
  expect(answers.length).toBeGreaterThan(20);
  for (const [place, text] of Object.entries(everything)) {
    for (const secret of secrets) {
      // An unknown field is named in the error: a client that writes a password there says it itself.
      if (place === 'errors' && secret === wrong) continue;
      expect(text.includes(String(secret)), `${secret} is in ${place}`).toBe(false);
    }
  }
  expect(plane.logged()).not.toMatch(/\$argon2id\$/);
});

/** What a stream says until it ends. */
function conversation(socket: WebSocket, first: object): Promise<string[]> {
  return new Promise((resolve) => {
    const said: string[] = [];
    socket.on('open', () => {
      socket.send(JSON.stringify(first));
      socket.send('{"type":"start","cmd":"true"}');
    });
    socket.on('message', (data) => said.push(String(data)));
    socket.on('unexpected-response', (_request, answer) => {
      answer.on('data', (data) => said.push(String(data)));
      answer.on('close', () => resolve(said));
    });
    socket.on('error', (error) => said.push(error.message));
    socket.on('close', (_code, reason) => resolve([...said, String(reason)]));
  });
}
