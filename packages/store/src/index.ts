export { decodeCursor, encodeCursor, type Page, type PagePosition, type PageRequest } from './cursor.js';
export {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from './embedded/index.js';
export { EVENT_TYPES, type EventRecord, type EventType, type HostEventRecord } from './event-record.js';
export { RENEW_EVERY_MS } from './process-lease.js';
export type {
  NewProject,
  NewSave,
  ProjectChanges,
  ProjectRecord,
  SaveRecord,
  UnfinishedProject,
} from './project-record.js';
export { NO_QUOTAS, type Quotas, type Usage } from './quotas.js';
export { type RateLimit, RateLimits, type RateVerdict } from './rate-limits.js';
export type {
  Follow,
  NewSandbox,
  ReconciledSandbox,
  SandboxRecord,
  Transition,
  TransitionChanges,
} from './sandbox-record.js';
export type { AuditDetails, BuildState, SnapshotState, TeamRole } from './schema.js';
export type { NewSnapshot, SnapshotAncestor, SnapshotRecord, SnapshotSize } from './snapshot-record.js';
export { Store, type StoreOptions } from './store.js';
export type {
  KeyCandidate,
  NewUser,
  SystemAccounts,
  TeamRecord,
  UserRecord,
  UserWithPassword,
} from './system-accounts.js';
export type { HostRecord, LocalAccess, SystemRepository } from './system-repository.js';
export type { ApiKeyRecord, NewApiKeyRecord, TeamApiKeys } from './team-api-keys.js';
export type { AuditFilter, AuditRecord, NewAuditRecord, TeamAudit } from './team-audit.js';
export type { EventFilter, TeamEvents } from './team-events.js';
export type { MemberRecord, MemberRule, TeamMembers } from './team-members.js';
export type { SandboxFilter, TeamSandboxes } from './team-sandboxes.js';
export type { TeamScope } from './team-scope.js';
export type { CommittedSnapshot, TeamSnapshots } from './team-snapshots.js';
export type {
  BuildChanges,
  BuildLogRecord,
  BuildRecord,
  ClaimedBuild,
  NewBuild,
  NewBuildLog,
  TeamTemplateBuilds,
} from './team-template-builds.js';
export type { TeamWebhooks } from './team-webhooks.js';
export type {
  AttemptResult,
  ClaimedDelivery,
  DeliveryRecord,
  SignedWebhook,
  WebhookRecord,
} from './webhook-record.js';
