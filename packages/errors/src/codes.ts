/**
 * Every error code of Dormouse and what it becomes at each boundary.
 *
 * `http` is the status of `/v1`, `connect` the numeric Connect/gRPC code between control plane and host agent,
 * `exit` the exit code of the command line (2: the caller's mistake, 3: not there, 4: state or capacity, 5: ours).
 */
const ERROR_TABLE = {
  invalid_request: { http: 400, connect: 3, exit: 2 },
  unauthorized: { http: 401, connect: 16, exit: 2 },
  forbidden: { http: 403, connect: 7, exit: 2 },
  not_found: { http: 404, connect: 5, exit: 3 },
  method_not_allowed: { http: 405, connect: 12, exit: 2 },
  timeout: { http: 408, connect: 4, exit: 4 },
  email_taken: { http: 409, connect: 6, exit: 4 },
  already_exists: { http: 409, connect: 6, exit: 4 },
  invalid_state: { http: 409, connect: 9, exit: 4 },
  payload_too_large: { http: 413, connect: 3, exit: 2 },
  range_not_satisfiable: { http: 416, connect: 11, exit: 2 },
  too_many_requests: { http: 429, connect: 8, exit: 4 },
  quota_exceeded: { http: 429, connect: 8, exit: 4 },
  cancelled: { http: 499, connect: 1, exit: 4 },
  internal: { http: 500, connect: 13, exit: 5 },
  no_capacity: { http: 503, connect: 8, exit: 4 },
  unavailable: { http: 503, connect: 14, exit: 4 },
  no_space: { http: 507, connect: 8, exit: 4 },

  guest_unreachable: { http: 503, connect: 14, exit: 4 },
  guest_protocol: { http: 500, connect: 13, exit: 5 },
  boot_failed: { http: 503, connect: 14, exit: 5 },

  snapshot_corrupt: { http: 500, connect: 15, exit: 5 },
  snapshot_incompatible: { http: 409, connect: 9, exit: 4 },
  snapshot_unsupported: { http: 500, connect: 12, exit: 4 },
  pause_failed: { http: 503, connect: 14, exit: 5 },
  restore_failed: { http: 503, connect: 14, exit: 5 },

  port_in_use: { http: 500, connect: 13, exit: 4 },
  already_running: { http: 500, connect: 13, exit: 4 },
  missing_tool: { http: 500, connect: 13, exit: 4 },
  not_permitted: { http: 500, connect: 13, exit: 4 },
  setup_failed: { http: 500, connect: 13, exit: 5 },
} as const;

/** Stable, machine-readable name of what went wrong. */
export type ErrorCode = keyof typeof ERROR_TABLE;

/** One row of the table. */
export interface ErrorRow {
  readonly http: number;
  readonly connect: number;
  readonly exit: number;
}

/** What a code becomes at each boundary. */
export function errorRow(code: ErrorCode): ErrorRow {
  return ERROR_TABLE[code];
}

/** Whether a string (from the wire, say) is a code of this table. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_TABLE, code);
}
