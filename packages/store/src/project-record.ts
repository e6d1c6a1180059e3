import type { SandboxState } from '@dormouse/lifecycle';
import type { Selectable } from 'kysely';
import { columns } from './columns.js';
import type { ProjectSavesTable, ProjectsTable } from './schema.js';

type ProjectColumn = Exclude<keyof ProjectsTable, 'envs'>;

/** All but the environment, which may be large and is needed by few: see `TeamProjects.envsOf`. */
export const PROJECT_COLUMNS: readonly ProjectColumn[] = columns<ProjectColumn>({
  id: true,
  team_id: true,
  name: true,
  template: true,
  keep_last: true,
  workspace: true,
  vcpus: true,
  memory_mb: true,
  timeout_sec: true,
  internet: true,
  metadata: true,
  sandbox_id: true,
  next_sandbox_id: true,
  head_id: true,
  pending_save_id: true,
  closing_generation: true,
  restoring_id: true,
  leaving_sandbox_id: true,
  leaving_generation: true,
  lease: true,
  lease_until: true,
  created_at: true,
  opened_at: true,
  saved_at: true,
  deleted_at: true,
});

/**
 * A project as it is stored, without its environment, and the state of the sandbox it is open in; null: there is none.
 */
export type ProjectRecord = Readonly<Pick<Selectable<ProjectsTable>, ProjectColumn>> & {
  readonly sandbox_state: SandboxState | null;
};

/** A moment of a project. */
export type SaveRecord = Readonly<Selectable<ProjectSavesTable>>;

/** What is known of a project before it has been opened. */
export interface NewProject {
  readonly id: string;
  readonly name: string;
  readonly template: string;
  readonly keepLast: number;
  readonly workspace: string;
  readonly vcpus: number | null;
  readonly memoryMb: number | null;
  readonly timeoutSec: number;
  readonly internet: boolean;
  readonly envs: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What changes about a project while somebody holds its lease. What is left out stays. */
export interface ProjectChanges {
  readonly sandboxId?: string | null;
  readonly nextSandboxId?: string | null;
  readonly headId?: string | null;
  readonly pendingSaveId?: string | null;
  readonly closingGeneration?: number | null;
  readonly restoringId?: string | null;
  /** null: there is none (any more). */
  readonly leaving?: { readonly sandboxId: string; readonly generation: number } | null;
  /** It has been opened now. */
  readonly opened?: true;
  /** A moment of it has been kept now. */
  readonly saved?: true;
  /** It is to go. */
  readonly deleted?: true;
}

/** A moment that is about to be kept. */
export interface NewSave {
  /** Of the snapshot that will hold it. */
  readonly id: string;
  readonly projectId: string;
  readonly description: string | null;
  readonly fileCount: number | null;
  readonly sizeBytes: number | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A project with work that nobody is at any more. */
export interface UnfinishedProject {
  readonly id: string;
  readonly teamId: string;
}
