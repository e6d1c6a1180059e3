import {
  MemberList,
  TeamList,
  type TeamRole,
  Member as WireMember,
  Team as WireTeam,
} from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import type { Transport } from './transport.js';

export type { TeamRole };

/** A team, and what the asker is in it. */
export type Team = CamelKeys<WireTeam>;

/** A person in a team. */
export type Member = CamelKeys<WireMember>;

/** The teams one is in, and who else is. */
export class Teams {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Newest first. */
  list(options: CallOptions = {}): AsyncGenerator<Team, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: '/v1/teams', query: { cursor } } as const;
      const page = await this.#transport.json(request, TeamList);
      return { items: page.teams.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  async create(name: string, options: CallOptions = {}): Promise<Team> {
    const request = { ...options, method: 'POST', path: '/v1/teams', json: { name } } as const;
    return toCamelKeys(await this.#transport.json(request, WireTeam));
  }

  async get(id: string, options: CallOptions = {}): Promise<Team> {
    return toCamelKeys(
      await this.#transport.json({ ...options, method: 'GET', path: teamPath(id) }, WireTeam),
    );
  }

  async rename(id: string, name: string, options: CallOptions = {}): Promise<Team> {
    const request = { ...options, method: 'PATCH', path: teamPath(id), json: { name } } as const;
    return toCamelKeys(await this.#transport.json(request, WireTeam));
  }

  /** Who joined last comes first. */
  members(id: string, options: CallOptions = {}): AsyncGenerator<Member, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: membersPath(id), query: { cursor } } as const;
      const page = await this.#transport.json(request, MemberList);
      return { items: page.members.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  /**
   * Adds somebody who has signed up.
   *
   * @param role default: member
   */
  async addMember(id: string, email: string, role?: TeamRole, options: CallOptions = {}): Promise<Member> {
    const request = { ...options, method: 'POST', path: membersPath(id), json: { email, role } } as const;
    return toCamelKeys(await this.#transport.json(request, WireMember));
  }

  async setRole(id: string, userId: string, role: TeamRole, options: CallOptions = {}): Promise<Member> {
    const path = memberPath(id, userId);
    const request = { ...options, method: 'PATCH', path, json: { role } } as const;
    return toCamelKeys(await this.#transport.json(request, WireMember));
  }

  /** Takes a member out of the team, together with the API keys they have made; with one's own id: leaves it. */
  async removeMember(id: string, userId: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.send({ ...options, method: 'DELETE', path: memberPath(id, userId) });
  }
}

function teamPath(id: string): string {
  return `/v1/teams/${encodeURIComponent(id)}`;
}

function membersPath(id: string): string {
  return `${teamPath(id)}/members`;
}

function memberPath(id: string, userId: string): string {
  return `${membersPath(id)}/${encodeURIComponent(userId)}`;
}
