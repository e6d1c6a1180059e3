import { DormouseError, systemErrorCode } from '@dormouse/errors';

/**
 * An artifact that must not be used.
 *
 * @param subject what it is and whose, as `memory.map of generation gn…`
 * @param detail what is wrong with it, as the rest of a sentence: `is truncated`
 */
export function corrupt(subject: string, detail: string, cause?: unknown): DormouseError {
  return new DormouseError('snapshot_corrupt', `${subject} ${detail}`, {
    cause,
    suggestion: 'Restore from another snapshot, or boot from the disk alone.',
  });
}

/** How messages name an artifact. */
export function subjectOf(name: string, generationId: string): string {
  return `${name} of generation ${generationId}`;
}

/** What failed for want of room becomes `no_space`; everything else that is not yet typed, `internal`. */
export function storageError(doing: string, thrown: unknown): DormouseError {
  if (thrown instanceof DormouseError) return thrown;
  const code = systemErrorCode(thrown);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new DormouseError(full ? 'no_space' : 'internal', `${doing}: ${reason}`, { cause: thrown });
}
