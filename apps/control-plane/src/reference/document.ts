import type { App } from '../http/app.js';

/** The OpenAPI 3.1 document of all routes of an app. */
export type OpenApiDocument = ReturnType<App['getOpenAPI31Document']>;

/** Describes every route of the app, from the schemas that validate their requests. */
export function openApiDocument(app: App, version: string): OpenApiDocument {
  const { openAPIRegistry: registry } = app;
  registry.registerComponent('securitySchemes', 'apiKey', {
    type: 'apiKey',
    in: 'header',
    name: 'X-API-Key',
    description: '`dor_` and 64 hex digits',
  });
  registry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description: 'The token of a login, or an API key',
  });
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Dormouse',
      version,
      description:
        'MicroVM sandboxes that sleep instead of dying. Errors are always `{"error":{"code","message","request_id"}}`; lists are paged by `limit` and `cursor`; times are RFC 3339, UTC.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ apiKey: [] }, { bearer: [] }],
  });
}
