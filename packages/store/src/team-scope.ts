import type { Kysely } from 'kysely';
import type { Database } from './schema.js';
import { TeamApiKeys } from './team-api-keys.js';
import { TeamSandboxes } from './team-sandboxes.js';
import { TeamSnapshots } from './team-snapshots.js';

/** Everything one team may see and change; nothing in it can name another team. */
export class TeamScope {
  readonly teamId: string;
  readonly sandboxes: TeamSandboxes;
  readonly snapshots: TeamSnapshots;
  readonly apiKeys: TeamApiKeys;

  constructor(db: Kysely<Database>, teamId: string) {
    this.teamId = teamId;
    this.sandboxes = new TeamSandboxes(db, teamId);
    this.snapshots = new TeamSnapshots(db, teamId);
    this.apiKeys = new TeamApiKeys(db, teamId);
  }
}
