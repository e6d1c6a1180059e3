import type { App } from '../http/app.js';

/** The OpenAPI 3.1 document of all routes of an app. */
export type OpenApiDocument = ReturnType<App['getOpenAPI31Document']>;

/** What belongs together, in the order in which it is shown. */
const TAGS: Readonly<Record<string, string>> = {
  Sandboxes: 'MicroVMs that run untrusted code, and sleep when nobody uses them',
  Processes: 'Commands in a sandbox, and what runs there',
  Files: 'Files and directories of a sandbox',
  Observation: 'What a sandbox uses, and what it says',
  Events: 'What happened to sandboxes and snapshots, also as a live stream',
  Snapshots: 'Named moments of sandboxes, which new ones begin with',
  Templates: 'What sandboxes are made of, and how that is built',
  Projects: 'Workspaces that always come back as they were left',
  Webhooks: 'Receivers a team tells of its events',
  Usage: 'What a team has, and what it may have',
  Accounts: 'Signing up, logging in, and who is asking',
  'API keys': 'Keys for programs',
  Teams: 'Teams, and who is in them',
  Audit: 'Who did what in a team',
  Operation: 'For those who operate the server',
};

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
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    security: [{ apiKey: [] }, { bearer: [] }],
  });
}
