import { DormouseError } from '@dormouse/errors';

/** What is saved cannot be understood. */
export function corrupt(what: string): DormouseError {
  return new DormouseError('snapshot_corrupt', `the saved device state is damaged: ${what}`);
}

/** What is saved was written by a QEMU, or with settings, that this package does not know. */
export function unsupported(what: string): DormouseError {
  return new DormouseError('snapshot_unsupported', `the saved device state cannot be replayed: ${what}`);
}

/** The other end did not do its part. */
export function restoreFailed(what: string, cause?: unknown): DormouseError {
  return new DormouseError('restore_failed', `the lazy restore failed: ${what}`, { cause });
}
