import { type ErrorCode, errorRow } from './codes.js';

/** What an error may carry besides its code and message. */
export interface DormouseErrorOptions {
  readonly cause?: unknown;
  /** One sentence: what the reader can do about it. */
  readonly suggestion?: string;
  /** Seconds after which asking again makes sense. */
  readonly retryAfterSec?: number;
  /** Nothing of what was asked for has been begun, so asking again does nothing twice. Default: that is unknown. */
  readonly notBegun?: boolean;
}

/**
 * The one error class. `code` is stable and for programs, `message` is for people and may change.
 */
export class DormouseError extends Error {
  readonly code: ErrorCode;
  readonly suggestion: string | undefined;
  readonly retryAfterSec: number | undefined;
  readonly notBegun: boolean;

  constructor(code: ErrorCode, message: string, options: DormouseErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DormouseError';
    this.code = code;
    this.suggestion = options.suggestion;
    this.retryAfterSec = options.retryAfterSec;
    this.notBegun = options.notBegun ?? false;
  }

  /** HTTP status of this error in `/v1`. */
  get httpStatus(): number {
    return errorRow(this.code).http;
  }

  /** Exit code of this error on the command line. */
  get exitCode(): number {
    return errorRow(this.code).exit;
  }
}

/** Any thrown value as a DormouseError; what is not one already becomes `internal` with its cause kept. */
export function fromUnknown(thrown: unknown): DormouseError {
  if (thrown instanceof DormouseError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new DormouseError('internal', message, { cause: thrown });
}

/** The `code` of a Node.js system error (`ENOENT`, `EADDRINUSE` …), or undefined for anything else. */
export function systemErrorCode(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
