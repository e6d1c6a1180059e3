import { ErrorBody } from '@dormouse/contracts';
import { DormouseError, type ErrorCode, isErrorCode } from '@dormouse/errors';
import { parseJson } from './parse-json.js';

/** What the server answered a request with, when that was an error. */
export class ApiError extends DormouseError {
  /** HTTP status of the answer. */
  readonly status: number;
  /** Finds the request in the server's log; undefined when something other than Dormouse answered. */
  readonly requestId: string | undefined;

  constructor(code: ErrorCode, message: string, status: number, requestId: string | undefined) {
    super(code, message);
    this.name = 'ApiError';
    this.status = status;
    this.requestId = requestId;
  }
}

/** The code that a status stands for where no body tells a better one: a proxy answered, say. */
const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'timeout',
  409: 'invalid_state',
  413: 'payload_too_large',
  416: 'range_not_satisfiable',
  429: 'too_many_requests',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
  507: 'no_space',
};

/**
 * The error of an answer.
 *
 * @param body the answer's text, which is an {@link ErrorBody} when Dormouse answered
 */
export function errorFromAnswer(status: number, body: string): ApiError {
  const fallback = CODE_OF_STATUS[status] ?? 'internal';
  const parsed = ErrorBody.safeParse(parseJson(body));
  if (!parsed.success) return new ApiError(fallback, `the server answered HTTP ${status}`, status, undefined);
  const { code, message, request_id: requestId } = parsed.data.error;
  return new ApiError(isErrorCode(code) ? code : fallback, message, status, requestId);
}
