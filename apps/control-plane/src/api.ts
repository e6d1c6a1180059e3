import { fromUnknown } from '@dormouse/errors';
import { accountRoutes } from './accounts/routes.js';
import { apiKeyRoutes } from './api-keys/routes.js';
import { auditRoutes } from './audit/routes.js';
import type { Services } from './context.js';
import { eventRoutes } from './events/routes.js';
import { execRoutes } from './exec/routes.js';
import { fileRoutes } from './files/routes.js';
import { healthRoutes } from './health/routes.js';
import { type App, createPart, noSuchRoute } from './http/app.js';
import { attribution } from './http/attribution.js';
import { auditLog } from './http/audit.js';
import { authentication } from './http/authentication.js';
import { answerError } from './http/errors.js';
import { requestLog } from './http/request-log.js';
import { routeTable } from './http/route-table.js';
import { tracing } from './http/tracing.js';
import { observationRoutes } from './observation/routes.js';
import { projectRoutes } from './projects/routes.js';
import { referenceRoutes } from './reference/routes.js';
import { sandboxRoutes } from './sandboxes/routes.js';
import { sleepRoutes } from './sandboxes/sleep-routes.js';
import { snapshotRoutes } from './snapshots/routes.js';
import { memberRoutes } from './teams/member-routes.js';
import { teamRoutes } from './teams/routes.js';
import { templateBuildRoutes } from './templates/build-routes.js';
import { templateRoutes } from './templates/routes.js';
import { usageRoutes } from './usage/routes.js';
import { deliveryRoutes } from './webhooks/delivery-routes.js';
import { webhookRoutes } from './webhooks/routes.js';

/** The whole HTTP API. WebSockets are beside it: see `exec/stream-server.ts`. */
export function createApi(services: Services): App {
  const app = createPart();
  const routes = routeTable(app);
  app.use('*', tracing());
  app.use('*', requestLog(services));
  app.use('/v1/*', authentication(services, routes));
  app.use('/v1/*', attribution(services));
  app.use('/v1/*', auditLog(routes));
  app.onError((error, c) => {
    if (fromUnknown(error).code === 'quota_exceeded') services.metrics.quotaRefusals.inc();
    return answerError(error, c);
  });
  app.notFound((c) => answerError(noSuchRoute(c.req.method, c.req.path), c));
  for (const part of [
    sandboxRoutes(services),
    sleepRoutes(services),
    snapshotRoutes(services),
    projectRoutes(services),
    execRoutes(services),
    fileRoutes(services),
    observationRoutes(services),
    templateRoutes(services),
    eventRoutes(services),
    usageRoutes(),
    accountRoutes(services),
    templateBuildRoutes(services),
    apiKeyRoutes(),
    teamRoutes(services),
    memberRoutes(services),
    auditRoutes(),
    webhookRoutes(services),
    deliveryRoutes(services),
    healthRoutes(services),
  ]) {
    app.route('/', part);
  }
  routes.check();
  app.route('/', referenceRoutes(app, services.version));
  return app;
}
