import type { ErrorCode } from '@dormouse/errors';

/** The host gives these codes for what it has read, and the control plane throws none of them itself. */
const CONTENT_VERDICTS: ReadonlySet<ErrorCode> = new Set([
  'snapshot_corrupt',
  'snapshot_incompatible',
  'snapshot_unsupported',
]);

/**
 * Whether an error says that the content of a snapshot or of a paused sandbox cannot be restored here. Every other
 * error (a lost connection, a time limit, a VM that ended, a fault of our own) says nothing about the content: the
 * same restore may succeed later, so it must not lead to something that holds less.
 */
export function isContentVerdict(code: ErrorCode): boolean {
  return CONTENT_VERDICTS.has(code);
}
