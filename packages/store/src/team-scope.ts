import type { Kysely } from 'kysely';
import type { Mover } from './mover.js';
import { type Usage, usageOf } from './quotas.js';
import type { Database } from './schema.js';
import { TeamApiKeys } from './team-api-keys.js';
import { TeamAudit } from './team-audit.js';
import { TeamEvents } from './team-events.js';
import { TeamMembers } from './team-members.js';
import { TeamProjectSaves } from './team-project-saves.js';
import { TeamProjects } from './team-projects.js';
import { TeamSandboxes } from './team-sandboxes.js';
import { TeamSnapshots } from './team-snapshots.js';
import { TeamTemplateBuilds } from './team-template-builds.js';
import { TeamWebhooks } from './team-webhooks.js';

/** Everything one team may see and change; nothing in it can name another team. */
export class TeamScope {
  readonly teamId: string;
  readonly sandboxes: TeamSandboxes;
  readonly snapshots: TeamSnapshots;
  readonly projects: TeamProjects;
  readonly projectSaves: TeamProjectSaves;
  readonly templateBuilds: TeamTemplateBuilds;
  readonly apiKeys: TeamApiKeys;
  readonly events: TeamEvents;
  /** What it has of what its quotas limit. */
  readonly usage: () => Promise<Usage>;
  readonly members: TeamMembers;
  readonly audit: TeamAudit;
  readonly webhooks: TeamWebhooks;
  readonly #db: Kysely<Database>;

  constructor(db: Kysely<Database>, teamId: string, mover: Mover) {
    this.teamId = teamId;
    this.sandboxes = new TeamSandboxes(db, teamId, mover);
    this.snapshots = new TeamSnapshots(db, teamId, mover);
    this.projects = new TeamProjects(db, teamId);
    this.projectSaves = new TeamProjectSaves(db, teamId);
    this.templateBuilds = new TeamTemplateBuilds(db, teamId);
    this.apiKeys = new TeamApiKeys(db, teamId);
    this.events = new TeamEvents(db, teamId, mover);
    this.usage = () => usageOf(db, teamId, mover.quotas);
    this.#db = db;
    this.members = new TeamMembers(db, teamId);
    this.audit = new TeamAudit(db, teamId);
    this.webhooks = new TeamWebhooks(db, teamId);
  }

  /** What the team is called. */
  async rename(name: string): Promise<void> {
    await this.#db.updateTable('teams').set({ name }).where('id', '=', this.teamId).execute();
  }
}
