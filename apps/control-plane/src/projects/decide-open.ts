import type { ErrorCode } from '@dormouse/errors';
import { isFinal, type SandboxState } from '@dormouse/lifecycle';
import { isContentVerdict } from '../snapshots/content-verdict.js';

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

/** The way that loses least. */
export function firstStep({ sandbox, moment }: Remains): OpenStep {
  if (sandbox === 'running' || sandbox === 'snapshotting') return 'use';
  if (sandbox === 'paused') return 'resume';
  return moment ? 'spawn_snapshot' : 'spawn_template';
}

/**
 * The next best way after one that failed; undefined: the failure is the answer. Only a verdict of the host about the
 * content leads on: after any other error the same way may succeed later, and another one would hold less.
 */
export function nextStep(failed: OpenStep, code: ErrorCode, { moment }: Remains): OpenStep | undefined {
  if (!isContentVerdict(code)) return undefined;
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
