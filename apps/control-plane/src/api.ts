import { apiKeyRoutes } from './api-keys/routes.js';
import type { Services } from './context.js';
import { execRoutes } from './exec/routes.js';
import { fileRoutes } from './files/routes.js';
import { healthRoutes } from './health/routes.js';
import { type App, createPart, noSuchRoute } from './http/app.js';
import { authentication } from './http/authentication.js';
import { answerError } from './http/errors.js';
import { requestLog } from './http/request-log.js';
import { observationRoutes } from './observation/routes.js';
import { referenceRoutes } from './reference/routes.js';
import { sandboxRoutes } from './sandboxes/routes.js';
import { sleepRoutes } from './sandboxes/sleep-routes.js';
import { snapshotRoutes } from './snapshots/routes.js';
import { templateRoutes } from './templates/routes.js';

/** The whole HTTP API. WebSockets are beside it: see `exec/stream-server.ts`. */
export function createApi(services: Services): App {
  const app = createPart();
  app.use('*', requestLog(services));
  app.use('/v1/*', authentication(services));
  app.onError((error, c) => answerError(error, c));
  app.notFound((c) => answerError(noSuchRoute(c.req.method, c.req.path), c));
  for (const part of [
    sandboxRoutes(services),
    sleepRoutes(services),
    snapshotRoutes(services),
    execRoutes(services),
    fileRoutes(services),
    observationRoutes(services),
    templateRoutes(services),
    apiKeyRoutes(),
    healthRoutes(services),
  ]) {
    app.route('/', part);
  }
  app.route('/', referenceRoutes(app, services.version));
  return app;
}
