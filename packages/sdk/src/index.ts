export { SandboxState } from '@dormouse/contracts';
export { DormouseError, type ErrorCode } from '@dormouse/errors';
export type { Account, Me, NewAccount, Session, User } from './accounts.js';
export { ApiError } from './api-error.js';
export type { ApiKey, ApiKeys, CreatedApiKey } from './api-keys.js';
export type { Audit, AuditEntry, ListAuditOptions } from './audit.js';
export { Client } from './client.js';
export { type CallOptions, type ClientOptions, DEFAULT_API_URL, type Fetch } from './client-options.js';
export type { Command, ExecOptions, SpawnOptions } from './command.js';
export type { Events, FollowOptions, SandboxEvent } from './events.js';
export type {
  FileContent,
  FileEntry,
  FileOptions,
  Files,
  ListOptions,
  MakeDirectoryOptions,
  ReadOptions,
  RemoveOptions,
  WriteOptions,
} from './files.js';
export type { Processes, ProcessInfo } from './processes.js';
export type {
  ClosedProjectInfo,
  CreateProjectOptions,
  OpenProject,
  ProjectInfo,
  ProjectSnapshotInfo,
  Projects,
  SaveOptions,
} from './projects.js';
export {
  type AttachOptions,
  type ExecResult,
  type ForkResult,
  type MetricsPoint,
  Sandbox,
} from './sandbox.js';
export type { ProcessEvent, ProcessExit, ProcessInput, SandboxProcess } from './sandbox-process.js';
export type {
  CreateOptions,
  ForkOptions,
  ListSandboxesOptions,
  PauseOptions,
  ResumeOptions,
  SandboxInfo,
} from './sandbox-requests.js';
export type { Sandboxes } from './sandboxes.js';
export type { ListSnapshotsOptions, SnapshotInfo, SnapshotOptions, Snapshots } from './snapshots.js';
export type { Member, Team, TeamRole, Teams } from './teams.js';
export type {
  BuildOptions,
  TemplateBuildInfo,
  TemplateBuildLog,
  TemplateBuilds,
  TemplateRecipe,
} from './template-builds.js';
export type { Template, Templates } from './templates.js';
export type { Usage } from './usage.js';
export {
  type VerifyOptions,
  verifyWebhook,
  type WebhookHeaders,
  type WebhookMessage,
} from './verify-webhook.js';
export type {
  NewWebhook,
  Webhook,
  WebhookChanges,
  WebhookDelivery,
  Webhooks,
  WebhookWithSecret,
} from './webhooks.js';
