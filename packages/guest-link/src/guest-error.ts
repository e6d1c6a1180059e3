import { DormouseError } from '@dormouse/errors';
import { type GuestResult, guestResultCode } from './result-codes.js';

/**
 * An operation the guest refused or could not finish. `code` comes from the one table in `result-codes.ts`; `result`
 * keeps the guest's own, finer distinction, which is what callers decide by.
 */
export class GuestError extends DormouseError {
  readonly result: GuestResult;
  /** The guest kernel's error number, 0 when the kernel had no part in it. */
  readonly errno: number;

  constructor(result: GuestResult, message: string, errno = 0) {
    super(guestResultCode(result), message === '' ? result.replaceAll('_', ' ') : message);
    this.name = 'GuestError';
    this.result = result;
    this.errno = errno;
  }
}
