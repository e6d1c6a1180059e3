import type { SandboxState } from '@dormouse/lifecycle';
import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely';

/** Set by the database at insertion. */
type MadeAt = ColumnType<Date, never, never>;
type TextMap = JSONColumnType<Readonly<Record<string, string>>, string, string>;

export interface UsersTable {
  readonly id: Generated<string>;
  email: string;
  name: string | null;
  /** argon2id; null: cannot log in with a password. */
  password_hash: string | null;
  readonly created_at: MadeAt;
}

export interface TeamsTable {
  readonly id: Generated<string>;
  name: string;
  readonly created_at: MadeAt;
}

export interface TeamMembersTable {
  team_id: string;
  user_id: string;
  role: TeamRole;
  readonly created_at: MadeAt;
}

/** What a member of a team may be. */
export type TeamRole = 'owner' | 'admin' | 'member';

export interface ApiKeysTable {
  readonly id: Generated<string>;
  team_id: string;
  /** For whom it acts: who made it, or the key it was made with. null: nobody any more. */
  user_id: string | null;
  name: string;
  /** First 8 hex digits of the key. */
  lookup: string;
  /** SHA-256 of the key's 64 hex digits, in hex. */
  hash: string;
  readonly created_at: MadeAt;
  last_used_at: Date | null;
}

export interface HostsTable {
  id: string;
  agent_version: string;
  accelerator: string;
  cpu_count: number;
  memory_total_mb: number;
  /** `unreachable`: it has not answered for a while. Nothing of it is given up for that. */
  state: Generated<'online' | 'unreachable'>;
  readonly first_seen_at: MadeAt;
  last_seen_at: Date;
}

export interface TemplatesTable {
  readonly id: Generated<string>;
  /** null: every team may use it. */
  team_id: string | null;
  name: string;
  type: 'base' | 'snapshot';
  image_id: string;
  vcpus: number;
  memory_mb: number;
  disk_mb: number;
  readonly created_at: MadeAt;
}

export interface SandboxesTable {
  id: string;
  team_id: string;
  state: SandboxState;
  generation: number;
  /** Why it is in this state, when nobody asked for that. */
  reason: string | null;
  template: string;
  image_id: string | null;
  parent_snapshot: string | null;
  vcpus: number;
  memory_mb: number;
  disk_mb: number;
  timeout_sec: number;
  on_timeout: 'pause' | 'kill';
  on_memory_loss: ColumnType<'reboot' | 'fail', 'reboot' | 'fail' | undefined, 'reboot' | 'fail'>;
  internet: boolean;
  envs: TextMap;
  metadata: TextMap;
  host_id: string | null;
  resumed_by: 'memory' | 'reboot' | null;
  readonly created_at: MadeAt;
  state_changed_at: ColumnType<Date, never, Date>;
  /** The control plane that moved it here. */
  moved_by: string | null;
  started_at: Date | null;
  last_active_at: Date | null;
  expires_at: Date | null;
  paused_at: Date | null;
  /** When somebody asked for its destruction; from `stopped` on it is not shown any more. */
  deleted_at: Date | null;
  /** Who asked for that, as in events; null: nobody, or a version that did not record it. */
  deleted_by: string | null;
}

export interface SnapshotsTable {
  id: string;
  team_id: string;
  /**
   * `creating`: the host may have it or not. `ready`: it can be used. `deleting`: the host may still have it.
   * `deleted`: gone; kept, so that what descends from it can tell where it comes from.
   */
  state: SnapshotState;
  name: string;
  /** Whether it may take its name from another snapshot when it is ready. */
  overwrite: boolean;
  sandbox_id: string;
  template: string;
  image_id: string | null;
  vcpus: number;
  memory_mb: number;
  disk_mb: number;
  disk_only: boolean;
  description: string | null;
  /** What sandboxes that begin with it have in their environment, unless they are told otherwise. */
  envs: ColumnType<Readonly<Record<string, string>>, string | undefined, never>;
  /** The snapshot its sandbox was spawned from. */
  parent_id: string | null;
  /** Bytes of this snapshot alone; null until it is ready. */
  own_bytes: ByteCount;
  /** Bytes of everything it needs, which others may need as well; null until it is ready. */
  total_bytes: ByteCount;
  readonly created_at: MadeAt;
  state_changed_at: ColumnType<Date, never, Date>;
  /** The control plane that moved it here. */
  moved_by: string | null;
}

export interface ProjectsTable {
  id: string;
  team_id: string;
  name: string;
  /** Name of a template, or name or id of a snapshot: what it begins with when there is nothing of it yet. */
  template: string;
  keep_last: number;
  /** The directory whose files are counted. */
  workspace: string;
  /** null: as the template has it. */
  vcpus: number | null;
  memory_mb: number | null;
  timeout_sec: number;
  internet: boolean;
  envs: TextMap;
  metadata: TextMap;
  /** The sandbox it is open in, which may have ended since. */
  sandbox_id: string | null;
  /** A sandbox that is being made for it; not its own yet. */
  next_sandbox_id: string | null;
  /** The moment its sandbox was last saved to, or made of: where it opens when there is no sandbox. */
  head_id: string | null;
  /** A moment that is being kept, and is to become the head. */
  pending_save_id: string | null;
  /** Set while it is being closed: the sandbox goes once the moment is kept, if it is still of this generation. */
  closing_generation: number | null;
  /** A moment that it is going back to. Retention leaves it alone meanwhile. */
  restoring_id: string | null;
  /** A paused sandbox that it has left, which goes if it is still of this generation. */
  leaving_sandbox_id: string | null;
  leaving_generation: number | null;
  /** Who is changing it; means nothing after `lease_until`. */
  lease: string | null;
  lease_until: Date | null;
  readonly created_at: MadeAt;
  opened_at: Date | null;
  saved_at: Date | null;
  /** When somebody asked for its end; the row goes when all that it has is freed. */
  deleted_at: Date | null;
}

/** Which snapshots are moments of a project. Those of them that are no snapshots that are ready do not count. */
export interface ProjectSavesTable {
  /** Of the snapshot. */
  id: string;
  team_id: string;
  project_id: string;
  /** null: kept automatically, and subject to retention. */
  description: string | null;
  /** PostgreSQL answers 64-bit numbers as text; null: not counted. */
  file_count: ColumnType<string | null, number | null, never>;
  size_bytes: ColumnType<string | null, number | null, never>;
  metadata: TextMap;
  /** Never removed by retention, whatever else says so. */
  pinned: ColumnType<boolean, never, boolean>;
  readonly created_at: MadeAt;
}

export interface TemplateBuildsTable {
  id: string;
  team_id: string;
  /** Of the snapshot that it ends with. */
  name: string;
  /** What it begins with, and how many steps it has: of the recipe, which is read by whoever builds it alone. */
  from_name: Generated<string>;
  step_count: Generated<number>;
  /** What was asked for. */
  recipe: JSONColumnType<object, string, never>;
  state: BuildState;
  /** Somebody wants it to end; whoever is at it sees that. */
  cancel_requested: Generated<boolean>;
  /** How many of its steps are done. */
  step: Generated<number>;
  cached_steps: Generated<number>;
  /** Where it is being built. */
  sandbox_id: string | null;
  /** The snapshot it ends with, recorded before it is taken. */
  snapshot_id: string | null;
  /** Why it failed. */
  error: string | null;
  /** Who is building it; means nothing after `lease_until`. */
  lease: string | null;
  lease_until: Date | null;
  readonly created_at: MadeAt;
  started_at: Date | null;
  finished_at: Date | null;
}

export type BuildState = 'queued' | 'running' | 'ready' | 'failed' | 'cancelled';

export interface TemplateBuildLogsTable {
  build_id: string;
  /** Grows from entry to entry, with gaps. */
  readonly seq: ColumnType<string, never, never>;
  step: number;
  stream: 'build' | 'stdout' | 'stderr';
  text: string;
  readonly at: MadeAt;
}

/** Moments after steps of a recipe, which a later build of the template begins with instead of doing them again. */
export interface TemplateLayersTable {
  team_id: string;
  /** Hash of everything up to this step. */
  key: string;
  /** Name of the template whose builds use it. */
  template: string;
  snapshot_id: string;
  readonly created_at: MadeAt;
}

export type SnapshotState = 'creating' | 'ready' | 'deleting' | 'deleted';

/** PostgreSQL answers 64-bit numbers as text. */
type ByteCount = ColumnType<string | null, number | null | undefined, number>;

/** Control planes at work; one that has not been seen for a while is gone. */
export interface ControlPlanesTable {
  id: string;
  readonly started_at: MadeAt;
  seen_at: ColumnType<Date, never, Date>;
}

/** Limits of teams that have some of their own; null: the configured ones. */
export interface QuotasTable {
  team_id: string;
  running: number | null;
  paused: number | null;
  snapshot_bytes: ColumnType<string | null, number | null, number | null>;
}

export interface EventsTable {
  /** Counts up, within a team in the order in which events become visible. */
  readonly id: Generated<string>;
  team_id: string;
  type: string;
  sandbox_id: string | null;
  snapshot_id: string | null;
  /** `key:<id>`, `user:<id>`, `host:<id>` or `system`. */
  actor: string;
  reason: string | null;
  data: JSONColumnType<Readonly<Record<string, unknown>>, string, string>;
  /** The host that told of it, and under which number. */
  host_id: ColumnType<string | null, string | undefined, never>;
  host_event: ColumnType<string | null, number | undefined, never>;
  host_key: ColumnType<string | null, string | null | undefined, never>;
  at: ColumnType<Date, Date | undefined, never>;
}

export interface SecretsTable {
  name: string;
  /** 32 bytes. */
  value: Buffer;
  readonly created_at: MadeAt;
}

export interface RateLimitsTable {
  /** What is limited and for whom. */
  key: string;
  /** When everything that was taken will have come back. */
  full_again_at: Date;
}

export interface AuditLogTable {
  readonly id: GeneratedAlways<string>;
  team_id: string;
  readonly created_at: MadeAt;
  /** Who did it; both are null where nobody was logged in. */
  user_id: string | null;
  api_key_id: string | null;
  /** The user's e-mail or the key's name at the time. */
  actor: string;
  action: string;
  /** What it was done to: an id, or a name. */
  target: string | null;
  details: JSONColumnType<AuditDetails, string, string>;
  address: string | null;
  request_id: string;
}

export interface WebhooksTable {
  readonly id: Generated<string>;
  team_id: string;
  url: string;
  /** What its requests are signed with. */
  secret: string;
  /** Which events it is told of; empty: all. */
  event_types: string[];
  enabled: boolean;
  /** Attempts in a row that failed, the last one included. */
  failures: Generated<number>;
  created_by: string | null;
  readonly created_at: MadeAt;
}

/** Made by the database together with each event. */
export interface WebhookDeliveriesTable {
  readonly id: GeneratedAlways<string>;
  webhook_id: string;
  /** null: a ping. */
  event_id: string | null;
  event_type: string;
  state: Generated<'pending' | 'delivered' | 'failed'>;
  /** Attempts that were begun. */
  attempts: Generated<number>;
  attempts_left: Generated<number>;
  next_attempt_at: Generated<Date>;
  /** The control plane that is at it, and until when nobody else takes it on. */
  claimed_by: string | null;
  claimed_until: Date | null;
  last_attempt_at: Date | null;
  last_status: number | null;
  last_error: string | null;
  durations_ms: Generated<number[]>;
  readonly created_at: MadeAt;
}

/** What else is worth knowing; never a secret. */
export type AuditDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export interface Database {
  users: UsersTable;
  teams: TeamsTable;
  team_members: TeamMembersTable;
  api_keys: ApiKeysTable;
  secrets: SecretsTable;
  rate_limits: RateLimitsTable;
  audit_log: AuditLogTable;
  hosts: HostsTable;
  templates: TemplatesTable;
  sandboxes: SandboxesTable;
  snapshots: SnapshotsTable;
  control_planes: ControlPlanesTable;
  quotas: QuotasTable;
  events: EventsTable;
  projects: ProjectsTable;
  project_saves: ProjectSavesTable;
  template_builds: TemplateBuildsTable;
  template_build_logs: TemplateBuildLogsTable;
  template_layers: TemplateLayersTable;
  webhooks: WebhooksTable;
  webhook_deliveries: WebhookDeliveriesTable;
}
