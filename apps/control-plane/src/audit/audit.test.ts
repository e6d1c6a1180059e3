import { setTimeout as wait } from 'node:timers/promises';
import type { AuditEntry, AuditList, CreatedApiKey, EventList, Session } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../api.js';
import { reconcileOnce } from '../reconciler/reconcile.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { ask, newPerson, PASSWORD } from '../testing/people.js';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);

async function entries(token: string, query = ''): Promise<AuditEntry[]> {
  const { body } = await ask<AuditList>(plane, 'GET', `/v1/audit${query}`, { token });
  return body.entries;
}

/** Action, actor and target of each, oldest first. */
function told(list: readonly AuditEntry[]): string[] {
  return list.map(({ action, actor, target }) => `${actor} ${action} ${target}`).reverse();
}

describe('the audit log', () => {
  test('tells who did what to which, when, from where and in which request', async () => {
    const { token, user } = await newPerson(plane);
    const made = await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', {
      token,
      json: { name: 'ci' },
      from: '192.0.2.7',
    });
    const [entry] = await entries(token);
    expect(entry).toMatchObject({
      actor: user.email,
      user_id: user.id,
      api_key_id: null,
      action: 'api_key.create',
      target: made.body.id,
      details: { name: 'ci' },
      address: '192.0.2.7',
      request_id: made.headers.get('x-request-id'),
    });
    expect(Math.abs(Date.parse(entry!.at) - Date.now())).toBeLessThan(10_000);
  });

  test('has everything that changes accounts, keys, members, sandboxes and snapshots', async () => {
    const { token, user, team } = await newPerson(plane);
    const friend = await newPerson(plane);
    const post = async <Body>(path: string, json: unknown = {}, by = token) =>
      (await ask<Body>(plane, 'POST', path, { token: by, json })).body;
    await post('/v1/auth/login', { email: user.email, password: PASSWORD });
    await post('/v1/auth/switch-team', { team_id: team.id });
    const key = await post<CreatedApiKey>('/v1/api-keys', { name: 'ci' });
    const { id } = await post<{ id: string }>('/v1/sandboxes', {}, key.key);
    await post(`/v1/sandboxes/${id}/pause`);
    await post(`/v1/sandboxes/${id}/resume`);
    const forked = await post<{ results: { sandbox: { id: string } }[] }>(`/v1/sandboxes/${id}/fork`, {
      count: 2,
    });
    const snapshot = await post<{ id: string }>('/v1/snapshots', { sandbox_id: id, name: 'kept' });
    await ask(plane, 'DELETE', '/v1/snapshots/kept', { token });
    await ask(plane, 'DELETE', `/v1/sandboxes/${id}`, { token: key.key });
    await ask(plane, 'DELETE', `/v1/api-keys/${key.id}`, { token });
    const members = `/v1/teams/${team.id}/members`;
    await post(members, { email: friend.user.email });
    await ask(plane, 'PATCH', `${members}/${friend.user.id}`, { token, json: { role: 'admin' } });
    await ask(plane, 'DELETE', `${members}/${friend.user.id}`, { token });
    await ask(plane, 'PATCH', `/v1/teams/${team.id}`, { token, json: { name: 'Looms' } });
    const list = await entries(token);
    const who = user.email;
    expect(told(list)).toEqual([
      `${who} user.signup null`,
      `${who} user.login null`,
      `${who} user.switch_team null`,
      `${who} api_key.create ${key.id}`,
      `ci sandbox.create ${id}`,
      `${who} sandbox.pause ${id}`,
      `${who} sandbox.resume ${id}`,
      `${who} sandbox.fork ${id}`,
      `${who} snapshot.create ${snapshot.id}`,
      `${who} snapshot.delete kept`,
      `ci sandbox.delete ${id}`,
      `${who} api_key.delete ${key.id}`,
      `${who} member.add ${friend.user.id}`,
      `${who} member.change_role ${friend.user.id}`,
      `${who} member.remove ${friend.user.id}`,
      `${who} team.rename ${team.id}`,
    ]);
    const detailsOf = (action: string) => list.find((entry) => entry.action === action)?.details;
    expect(detailsOf('sandbox.fork')).toEqual({ made: forked.results.map(({ sandbox }) => sandbox.id) });
    expect(detailsOf('member.change_role')).toEqual({
      email: friend.user.email,
      role: 'admin',
      before: 'member',
    });
    expect(list.find(({ action }) => action === 'sandbox.create')).toMatchObject({
      user_id: null,
      api_key_id: key.id,
    });
    expect(told(await entries(token, `?target=${id}&action=sandbox.pause`))).toEqual([
      `${who} sandbox.pause ${id}`,
    ]);
  });

  test('names what was built, and by whom', async () => {
    const { token, user } = await newPerson(plane);
    const { body, status } = await ask<{ id: string }>(plane, 'POST', '/v1/templates', {
      token,
      json: { name: 'web', steps: [{ type: 'run', command: 'true' }] },
    });
    expect(status).toBe(202);
    const [entry] = await entries(token);
    expect(told([entry!])).toEqual([`${user.email} template.build ${body.id}`]);
    expect(entry?.details).toEqual({ name: 'web' });
  });

  test('has deletions that were begun and ended in an error, and the event of each names who asked for it', async () => {
    const { token, user } = await newPerson(plane);
    const { body } = await ask<{ id: string }>(plane, 'POST', '/v1/sandboxes', { token, json: {} });
    const project = await ask<{ id: string }>(plane, 'POST', '/v1/projects', { token, json: { name: 'p' } });
    plane.host.script({
      destroySandbox: () => {
        throw new DormouseError('unavailable', 'the agent is restarting');
      },
    });
    const deleted = await ask(plane, 'DELETE', `/v1/sandboxes/${body.id}`, { token });
    expect(deleted.status).toBe(503);
    // Nothing was begun, or the request was refused.
    plane.host.script({
      pauseSandbox: () => {
        throw new DormouseError('no_capacity', 'no');
      },
    });
    await ask(plane, 'POST', `/v1/sandboxes/${body.id}/pause`, { token, json: {} });
    await ask(plane, 'DELETE', '/v1/projects/none', { token });
    const list = await entries(token);
    expect(told(list)).toEqual([
      `${user.email} user.signup null`,
      `${user.email} sandbox.create ${body.id}`,
      `${user.email} project.create ${project.body.id}`,
      `${user.email} sandbox.delete ${body.id}`,
    ]);
    expect(list[0]?.details).toEqual({ error: 'unavailable' });
    plane.host.reset();
    await wait(2);
    await reconcileOnce(plane.services);
    const { events } = (await ask<EventList>(plane, 'GET', '/v1/events', { token })).body;
    const end = events.find(({ type }) => type === 'sandbox.deleted');
    expect(end?.actor).toBe(`user:${user.id}`);
  });

  test('has nothing that did not happen, that is another team’s, or that is a secret', async () => {
    const { token, team } = await newPerson(plane);
    await ask(plane, 'POST', '/v1/api-keys', { token, json: { name: '' } });
    await ask(plane, 'DELETE', '/v1/sandboxes/sb00000000000000000000', { token });
    await ask(plane, 'GET', '/v1/sandboxes', { token });
    const sandbox = await ask<{ id: string }>(plane, 'POST', '/v1/sandboxes', {
      token,
      json: { envs: { SECRET: 'squeamish' } },
    });
    const text = JSON.stringify(await entries(token));
    expect(text).not.toContain('squeamish');
    expect(text).not.toContain(PASSWORD);
    expect(told(await entries(token)).map((line) => line.split(' ').slice(1).join(' '))).toEqual([
      'user.signup null',
      `sandbox.create ${sandbox.body.id}`,
    ]);
    // What somebody does in another of their teams is that team's business.
    const other = await ask<{ id: string }>(plane, 'POST', '/v1/teams', { token, json: { name: 'other' } });
    await ask(plane, 'PATCH', `/v1/teams/${other.body.id}`, { token, json: { name: 'another' } });
    expect(await entries(token)).toHaveLength(2);
    const json = { team_id: other.body.id };
    const there = (await ask<Session>(plane, 'POST', '/v1/auth/switch-team', { token, json })).body.token;
    expect((await entries(there)).map(({ action }) => action)).toEqual([
      'user.switch_team',
      'team.rename',
      'team.create',
    ]);
    expect(team.role).toBe('owner');
  });

  test('a request that has changed something succeeds also when it cannot be recorded, and the log says so', async () => {
    const app = createApi({
      ...plane.services,
      store: new Proxy(plane.services.store, {
        get: (store, name) =>
          name === 'forTeam'
            ? (teamId: string) =>
                Object.assign(store.forTeam(teamId), {
                  audit: { append: () => Promise.reject(new Error('the table is gone')) },
                })
            : store[name as keyof typeof store],
      }),
    });
    const headers = { 'x-api-key': plane.team.key, 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: '{"name":"unrecorded"}' };
    const answer = await app.request('/v1/api-keys', init, {});
    expect(answer.status).toBe(201);
    expect(plane.logged()).toContain('not recorded in the audit log');
  });
});
