import type { CreatedApiKey, Me, Member, Session, Team, TeamRole } from '@dormouse/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { ask, newPerson, type Refusal } from '../testing/people.js';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);

interface Crowd {
  readonly team: string;
  readonly owner: Session;
  readonly admin: Session;
  readonly member: Session;
  readonly stranger: Session;
}

/** A team with one of each role, and somebody who is not in it. */
async function crowd(): Promise<Crowd> {
  const owner = await newPerson(plane, 'owner');
  const [admin, member] = await Promise.all(
    (['admin', 'member'] as const).map(async (role) => {
      const person = await newPerson(plane, role);
      await add(owner.token, owner.team.id, person.user.email, role);
      return person;
    }),
  );
  const stranger = await newPerson(plane, 'stranger');
  return { team: owner.team.id, owner, admin: admin!, member: member!, stranger };
}

const add = (token: string, team: string, email: string, role?: TeamRole) =>
  ask<Member & Refusal>(plane, 'POST', `/v1/teams/${team}/members`, { token, json: { email, role } });
const setRole = (token: string, team: string, userId: string, role: TeamRole) =>
  ask<Member & Refusal>(plane, 'PATCH', `/v1/teams/${team}/members/${userId}`, { token, json: { role } });
const remove = (token: string, team: string, userId: string) =>
  ask<Refusal>(plane, 'DELETE', `/v1/teams/${team}/members/${userId}`, { token });

/** The token of somebody for a team. */
async function tokenFor(token: string, team: string): Promise<string> {
  const json = { team_id: team };
  return (await ask<Session>(plane, 'POST', '/v1/auth/switch-team', { token, json })).body.token;
}

describe('teams', () => {
  test('are made, listed, renamed and switched to', async () => {
    const { token, team: own } = await newPerson(plane);
    const made = await ask<Team>(plane, 'POST', '/v1/teams', { token, json: { name: ' Engines ' } });
    expect([made.status, made.body]).toMatchObject([201, { name: 'Engines', role: 'owner' }]);
    const { id } = made.body;
    expect(made.headers.get('location')).toBe(`/v1/teams/${id}`);
    const renamed = await ask<Team>(plane, 'PATCH', `/v1/teams/${id}`, { token, json: { name: 'Looms' } });
    expect(renamed.body).toEqual({ ...made.body, name: 'Looms' });
    const list = await ask<{ teams: Team[] }>(plane, 'GET', '/v1/teams', { token });
    expect(list.body).toEqual({ teams: [renamed.body, own], next_cursor: null });

    const there = await tokenFor(token, id);
    const sandbox = await ask<{ id: string }>(plane, 'POST', '/v1/sandboxes', { token: there, json: {} });
    expect((await ask(plane, 'GET', `/v1/sandboxes/${sandbox.body.id}`, { token: there })).status).toBe(200);
    expect((await ask(plane, 'GET', `/v1/sandboxes/${sandbox.body.id}`, { token })).status).toBe(404);
    expect((await ask<Me>(plane, 'GET', '/v1/me', { token: there })).body.team).toEqual(renamed.body);
  });

  test('hazard 14: a stranger’s answers are those for teams that do not exist', async () => {
    const { team, owner, stranger } = await crowd();
    const nowhere = '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c01';
    const key = await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', {
      token: stranger.token,
      json: { name: 'x' },
    });
    for (const token of [stranger.token, key.body.key]) {
      for (const [method, end, json] of [
        ['GET', '', undefined],
        ['PATCH', '', { name: 'mine' }],
        ['GET', '/members', undefined],
        ['POST', '/members', { email: stranger.user.email }],
        ['PATCH', `/members/${owner.user.id}`, { role: 'member' }],
        ['DELETE', `/members/${owner.user.id}`, undefined],
      ] as const) {
        const answers = await Promise.all(
          [team, nowhere].map(async (id) => {
            const answer = await ask<Refusal>(plane, method, `/v1/teams/${id}${end}`, { token, json });
            return [answer.status, answer.body.error.code, answer.body.error.message.replace(id, 'ID')];
          }),
        );
        expect(answers[0]).toEqual([404, 'not_found', 'there is no team ID']);
        expect(answers[1]).toEqual(answers[0]);
      }
    }
  });
});

describe('roles', () => {
  test('who may do what to whom', async () => {
    const allowed: string[] = [];
    for (const actor of ['owner', 'admin', 'member'] as const) {
      const everybody = await crowd();
      const { team } = everybody;
      const { token } = everybody[actor];
      const another = await newPerson(plane);
      const attempt = async (name: string, answer: Promise<{ status: number }>) => {
        const { status } = await answer;
        if (status < 300) allowed.push(`${actor} ${name}`);
        else expect([name, status]).toEqual([name, 403]);
      };
      await attempt('renames', ask(plane, 'PATCH', `/v1/teams/${team}`, { token, json: { name: 'n' } }));
      await attempt('lists', ask(plane, 'GET', `/v1/teams/${team}/members`, { token }));
      await attempt('audits', ask(plane, 'GET', '/v1/audit', { token: await tokenFor(token, team) }));
      await attempt('adds owner', add(token, team, another.user.email, 'owner'));
      await attempt('adds member', add(token, team, (await newPerson(plane)).user.email));
      for (const whom of ['admin', 'member'] as const) {
        if (whom === actor) continue;
        const id = everybody[whom].user.id;
        await attempt(`makes ${whom} owner`, setRole(token, team, id, 'owner'));
        await setRole(everybody.owner.token, team, id, whom);
        await attempt(`makes ${whom} admin`, setRole(token, team, id, 'admin'));
        await setRole(everybody.owner.token, team, id, whom);
        await attempt(`removes ${whom}`, remove(token, team, id));
      }
      if (actor !== 'owner') {
        await attempt('demotes owner', setRole(token, team, everybody.owner.user.id, 'member'));
        await attempt('removes owner', remove(token, team, everybody.owner.user.id));
      }
      if (actor !== 'owner') await attempt('leaves', remove(token, team, everybody[actor].user.id));
    }
    expect(allowed).toEqual([
      'owner renames',
      'owner lists',
      'owner audits',
      'owner adds owner',
      'owner adds member',
      'owner makes admin owner',
      'owner makes admin admin',
      'owner removes admin',
      'owner makes member owner',
      'owner makes member admin',
      'owner removes member',
      'admin renames',
      'admin lists',
      'admin audits',
      'admin adds member',
      'admin makes member admin',
      'admin removes member',
      'admin leaves',
      'member lists',
      'member leaves',
    ]);
  });

  test('the last owner cannot leave, be removed or become less', async () => {
    const { team, owner, admin } = await crowd();
    for (const answer of [
      await remove(owner.token, team, owner.user.id),
      await setRole(owner.token, team, owner.user.id, 'admin'),
    ]) {
      expect([answer.status, answer.body.error]).toMatchObject([
        409,
        {
          code: 'invalid_state',
          message: 'a team has at least one owner, and this is the last one. Make somebody else owner first.',
        },
      ]);
    }
    await setRole(owner.token, team, admin.user.id, 'owner');
    expect((await remove(owner.token, team, owner.user.id)).status).toBe(204);
    expect((await remove(admin.token, team, admin.user.id)).status).toBe(409);
  });

  test('a member deletes their own keys only, and those of others are as good as none', async () => {
    const { team, owner, member } = await crowd();
    const tokens = {
      owner: await tokenFor(owner.token, team),
      member: await tokenFor(member.token, team),
    };
    const make = async (token: string) =>
      (await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token, json: { name: 'k' } })).body;
    const [theirs, mine] = [await make(tokens.owner), await make(tokens.member)];
    const drop = async (token: string, id: string) =>
      (await ask(plane, 'DELETE', `/v1/api-keys/${id}`, { token })).status;
    expect(await drop(tokens.member, theirs.id)).toBe(404);
    expect(await drop(mine.key, theirs.id)).toBe(404);
    expect(await drop(tokens.member, mine.id)).toBe(204);
    expect(await drop(tokens.owner, (await make(tokens.member)).id)).toBe(204);
  });
});

describe('who is removed', () => {
  test('has no access any more: not by a token, not by a key, nor by a key made with a key', async () => {
    const { team, owner, admin } = await crowd();
    const token = await tokenFor(admin.token, team);
    const make = async (by: string) =>
      (await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token: by, json: { name: 'k' } })).body.key;
    const key = await make(token);
    const keyOfKey = await make(key);
    const credentials = [token, key, keyOfKey];
    const statuses = () =>
      Promise.all(
        credentials.map(async (one) => (await ask(plane, 'GET', '/v1/sandboxes', { token: one })).status),
      );
    expect(await statuses()).toEqual([200, 200, 200]);
    expect((await remove(owner.token, team, admin.user.id)).status).toBe(204);
    expect(await statuses()).toEqual([401, 401, 401]);
    // Their own team is theirs, and coming back does not bring old keys back.
    expect((await ask(plane, 'GET', '/v1/sandboxes', { token: admin.token })).status).toBe(200);
    await add(owner.token, team, admin.user.email, 'admin');
    expect(await statuses()).toEqual([200, 401, 401]);
  });

  test('a change of role holds at once, for tokens and keys', async () => {
    const { team, owner, admin } = await crowd();
    const token = await tokenFor(admin.token, team);
    const { key } = (await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token, json: { name: 'k' } }))
      .body;
    const audits = (credential: string) => ask(plane, 'GET', '/v1/audit', { token: credential });
    expect([(await audits(token)).status, (await audits(key)).status]).toEqual([200, 200]);
    await setRole(owner.token, team, admin.user.id, 'member');
    expect([(await audits(token)).status, (await audits(key)).status]).toEqual([403, 403]);
  });
});

describe('members', () => {
  test('are listed by when they joined, page by page', async () => {
    const { team, owner } = await crowd();
    const page = await ask<{ members: Member[]; next_cursor: string }>(
      plane,
      'GET',
      `/v1/teams/${team}/members?limit=2`,
      { token: owner.token },
    );
    const rest = await ask<{ members: Member[]; next_cursor: null }>(
      plane,
      'GET',
      `/v1/teams/${team}/members?limit=2&cursor=${page.body.next_cursor}`,
      { token: owner.token },
    );
    expect(rest.body.next_cursor).toBeNull();
    expect([...page.body.members, ...rest.body.members].map(({ role }) => role).sort()).toEqual([
      'admin',
      'member',
      'owner',
    ]);
    expect(rest.body.members[0]).toMatchObject({ user_id: owner.user.id, email: owner.user.email });
  });

  test('must have signed up, and are there once', async () => {
    const { team, owner, member } = await crowd();
    const unknown = await add(owner.token, team, 'nobody@example.org');
    expect([unknown.status, unknown.body.error.message]).toEqual([
      404,
      'nobody has signed up as nobody@example.org. They sign up first, then you add them.',
    ]);
    expect((await add(owner.token, team, member.user.email)).status).toBe(409);
  });
});
