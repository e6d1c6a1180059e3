import type { ErrorBody } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { z } from 'zod';
import type { AppEnv } from '../context.js';
import { databaseGone } from './database-gone.js';

/** The error a client is told, for anything that was thrown. What is not meant for clients becomes `internal`. */
export function toClientError(thrown: unknown): DormouseError {
  if (thrown instanceof DormouseError) return thrown;
  if (thrown instanceof HTTPException) return fromHttpException(thrown);
  return new DormouseError('internal', 'something went wrong here; the server log has the details', {
    cause: thrown,
  });
}

function fromHttpException(exception: HTTPException): DormouseError {
  switch (exception.status) {
    case 400:
      return new DormouseError('invalid_request', 'the body is not valid JSON', { cause: exception });
    case 415:
      return new DormouseError(
        'invalid_request',
        'the body has the wrong content type; send Content-Type: application/json',
        { cause: exception },
      );
    default:
      return new DormouseError('internal', 'something went wrong here; the server log has the details', {
        cause: exception,
      });
  }
}

/** An error as /v1 writes it. */
export function errorBody(error: DormouseError, requestId: string): ErrorBody {
  return { error: { code: error.code, message: errorMessage(error), request_id: requestId } };
}

/** What happened and what to do. */
export function errorMessage(error: DormouseError): string {
  return error.suggestion === undefined ? error.message : `${error.message}. ${error.suggestion}`;
}

/** Seconds after which asking again makes sense, where the error does not say it. */
const RETRY_AFTER_SEC = 2;

/**
 * By this header clients tell what they may repeat though its method is not repeatable. `Retry-After` alone is no such
 * promise: proxies write it as well.
 */
const NOT_BEGUN_HEADER = 'Dormouse-Not-Begun';

/**
 * What an answer says about asking again: when, and that nothing was begun. A request that may change something is
 * invited to be repeated only where it certainly has not.
 */
export function retryHeaders(error: DormouseError, method: string): Readonly<Record<string, string>> {
  const mayPass = error.code === 'unavailable' || error.code === 'no_capacity';
  const afterSec = error.retryAfterSec ?? (mayPass ? RETRY_AFTER_SEC : undefined);
  if (afterSec === undefined || (method !== 'GET' && !error.notBegun)) return {};
  return { 'Retry-After': String(afterSec), ...(error.notBegun ? { [NOT_BEGUN_HEADER]: 'true' } : {}) };
}

/** Answers an error. Our own mistakes are logged with their causes. */
export function answerError(thrown: unknown, c: Context<AppEnv>): Response {
  // Of what changes something nobody can tell whether it did, so clients must not be invited to ask again.
  const away = c.req.method === 'GET' ? databaseGone(thrown) : undefined;
  const error = away ?? toClientError(thrown);
  if (error.httpStatus === 500) c.get('log').error({ err: error }, 'request failed');
  else if (error.httpStatus > 500) c.get('log').warn({ err: error }, 'request failed');
  if (error.code === 'unauthorized') c.header('WWW-Authenticate', 'Bearer');
  for (const [name, value] of Object.entries(retryHeaders(error, c.req.method))) c.header(name, value);
  return c.json(errorBody(error, c.get('requestId')), error.httpStatus as ContentfulStatusCode);
}

/** Names every field that is wrong, as `path: message`. */
export function invalidRequest(problem: z.core.$ZodError | z.ZodError): DormouseError {
  const issues = problem.issues.map((issue) => {
    const at = issue.path.map(String).join('.');
    return at === '' ? issue.message : `${at}: ${issue.message}`;
  });
  return new DormouseError('invalid_request', issues.join('; '));
}
