import type { OpenProject, ProjectInfo, ProjectSnapshotInfo } from '@dormouse/sdk';
import { humanAge } from '../terminal/human.js';

/** One row of `project ls` for each project. */
export function projectRows(projects: readonly ProjectInfo[], nowMs: number): string[][] {
  const ago = (time: string | null): string => (time === null ? 'never' : `${humanAge(time, nowMs)} ago`);
  return projects.map((project) => [
    project.name,
    project.sandboxState === null ? project.state : `${project.state} (${project.sandboxState})`,
    project.sandboxId ?? '',
    project.template,
    ago(project.openedAt),
    ago(project.savedAt),
  ]);
}

/** One row of `project snapshots` for each moment. */
export function momentRows(moments: readonly ProjectSnapshotInfo[], nowMs: number): string[][] {
  return moments.map((moment) => [
    moment.id,
    humanAge(moment.createdAt, nowMs),
    moment.fileCount === null ? '?' : String(moment.fileCount),
    moment.sizeMb === null ? '?' : `${moment.sizeMb} MiB`,
    moment.description ?? '(automatic)',
  ]);
}

/** The sandbox, and where it is not where it was, why. */
export function openedLine({ sandbox, restoredFrom, restoreError }: OpenProject): string {
  const why = restoreError === null ? '' : `: ${restoreError.message}`;
  return restoredFrom === 'live' && why === ''
    ? sandbox.id
    : `${sandbox.id} (from its ${restoredFrom}${why})`;
}

/** What is told of an opened project in JSON. */
export function openedJson(opened: OpenProject): object {
  const { project, sandbox, restoredFrom, snapshotId, restoreError } = opened;
  return {
    project,
    sandbox: sandbox.info,
    restoredFrom,
    snapshotId,
    restoreError: restoreError === null ? null : { code: restoreError.code, message: restoreError.message },
  };
}
