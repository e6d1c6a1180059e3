import { DormouseError } from '@dormouse/errors';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { AppEnv } from '../context.js';
import { invalidRequest } from './errors.js';

/** A part of the app: routes whose requests are validated before their handler sees them. */
export type App = OpenAPIHono<AppEnv>;

/** An empty part. */
export function createPart(): App {
  return new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.error);
    },
  });
}

/** What every unknown address answers. */
export function noSuchRoute(method: string, path: string): DormouseError {
  return new DormouseError('not_found', `there is no ${method} ${path}`, {
    suggestion: 'See /docs for what there is.',
  });
}
