import type { ErrorCode } from '@dormouse/errors';
import { isFinal, type SandboxState } from '@dormouse/lifecycle';

/** One way to get a running sandbox for a project. */
export type OpenStep =
  /** It has one that runs. */
  | 'use'
  /** It has one that is paused. */
  | 'resume'
  /** The same by its disk alone: its files are there, its processes are not. */
  | 'reboot'
  /** A new one that begins with the newest moment. */
  | 'spawn_snapshot'
  /** A new one that begins with the template. */
  | 'spawn_template';

/** What there is of a project. */
export interface Remains {
  /** Where its sandbox is, once it is settled; undefined: it has none. */
  readonly sandbox: SandboxState | undefined;
  /** Whether a moment of it is kept. */
  readonly moment: boolean;
}

/**
 * Failures that say nothing about what was to be restored: another way would fail alike, or succeed a moment later
 * with an empty workspace in place of one that is whole.
 */
const NOT_ITS_FAULT: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'no_capacity',
  'no_space',
  'quota_exceeded',
  'too_many_requests',
  'cancelled',
]);

/** The way that loses least. */
export function firstStep({ sandbox, moment }: Remains): OpenStep {
  if (sandbox === 'running' || sandbox === 'snapshotting') return 'use';
  if (sandbox === 'paused') return 'resume';
  return moment ? 'spawn_snapshot' : 'spawn_template';
}

/** The next best way after one that failed; undefined: the failure is the answer. */
export function nextStep(failed: OpenStep, code: ErrorCode, { moment }: Remains): OpenStep | undefined {
  if (NOT_ITS_FAULT.has(code)) return undefined;
  switch (failed) {
    case 'resume':
      return 'reboot';
    case 'use':
    case 'reboot':
      return moment ? 'spawn_snapshot' : 'spawn_template';
    case 'spawn_snapshot':
      return 'spawn_template';
    case 'spawn_template':
      return undefined;
  }
}

/** Whether nothing of a sandbox is left that a project could go on with. */
export function isGone(state: SandboxState | undefined): boolean {
  return state === undefined || state === 'stopping' || isFinal(state);
}
