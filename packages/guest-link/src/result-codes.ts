import type { ErrorCode } from '@dormouse/errors';

/** Name of a failed operation's result, as in `guest/PROTOCOL.md`. */
export type GuestResult =
  | 'invalid_argument'
  | 'not_found'
  | 'already_exists'
  | 'permission_denied'
  | 'not_directory'
  | 'is_directory'
  | 'not_empty'
  | 'no_space'
  | 'unknown_user'
  | 'no_such_process'
  | 'cancelled'
  | 'unsupported'
  | 'failed_precondition'
  | 'resource_exhausted'
  | 'io_error'
  | 'connection_refused'
  | 'cwd_not_found'
  | 'command_not_found'
  | 'timed_out'
  | 'symlink_loop'
  | 'read_only';

interface ResultRow {
  /** On the wire. 0 is ok and has no row. */
  readonly number: number;
  /** What callers outside see. */
  readonly code: ErrorCode;
}

const RESULT_TABLE: Readonly<Record<GuestResult, ResultRow>> = {
  invalid_argument: { number: 1, code: 'invalid_request' },
  not_found: { number: 2, code: 'not_found' },
  already_exists: { number: 3, code: 'already_exists' },
  permission_denied: { number: 4, code: 'forbidden' },
  not_directory: { number: 5, code: 'invalid_request' },
  is_directory: { number: 6, code: 'invalid_request' },
  not_empty: { number: 7, code: 'invalid_request' },
  no_space: { number: 8, code: 'no_space' },
  unknown_user: { number: 9, code: 'invalid_request' },
  no_such_process: { number: 10, code: 'not_found' },
  cancelled: { number: 11, code: 'cancelled' },
  unsupported: { number: 12, code: 'invalid_request' },
  failed_precondition: { number: 13, code: 'invalid_state' },
  resource_exhausted: { number: 14, code: 'no_capacity' },
  io_error: { number: 15, code: 'internal' },
  connection_refused: { number: 16, code: 'unavailable' },
  cwd_not_found: { number: 17, code: 'invalid_request' },
  command_not_found: { number: 18, code: 'invalid_request' },
  timed_out: { number: 19, code: 'timeout' },
  symlink_loop: { number: 20, code: 'invalid_request' },
  read_only: { number: 21, code: 'forbidden' },
};

const RESULT_NAMES: ReadonlyMap<number, GuestResult> = new Map(
  Object.entries(RESULT_TABLE).map(([name, row]) => [row.number, name as GuestResult]),
);

/** The number that stands for success. */
export const RESULT_OK = 0;

/** Name of a result number, or undefined for one the protocol does not know. */
export function guestResultName(number: number): GuestResult | undefined {
  return RESULT_NAMES.get(number);
}

/** The project-wide error code of a result. */
export function guestResultCode(result: GuestResult): ErrorCode {
  return RESULT_TABLE[result].code;
}
