/**
 * What somebody writes against types that a generator made of `/openapi.json`, with nothing of ours. Reads where
 * the API is from its environment, and prints what it found as JSON.
 */
export const GENERATED_CLIENT_PROGRAM = `
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

type Sandbox = components['schemas']['Sandbox'];

const { API_URL: baseUrl = '', API_KEY: key = '' } = process.env;
const api = createClient<paths>({ baseUrl, headers: { 'X-API-Key': key } });

function must<Data>({ data, error, response }: { data?: Data; error?: unknown; response: Response }): Data {
  if (data === undefined) throw new Error(\`\${response.url}: \${response.status} \${JSON.stringify(error)}\`);
  return data;
}

const made: Sandbox = must(await api.POST('/v1/sandboxes', { body: { memory_mb: 256, metadata: { of: 'client' } } }));
const path = { id: made.id };
const written = await api.PUT('/v1/sandboxes/{id}/files', {
  params: { path, query: { path: '/tmp/greeting' } },
  body: 'hello from a generated client',
  bodySerializer: (text) => text,
  headers: { 'Content-Type': 'application/octet-stream' },
});
const { state } = must(await api.POST('/v1/sandboxes/{id}/pause', { params: { path }, body: {} }));
const { resumed_by } = must(await api.POST('/v1/sandboxes/{id}/resume', { params: { path }, body: {} }));
const { stdout, exit_code } = must(
  await api.POST('/v1/sandboxes/{id}/exec', { params: { path }, body: { cmd: 'cat', args: ['/tmp/greeting'] } }),
);
const file = await api.GET('/v1/sandboxes/{id}/files', {
  params: { path, query: { path: '/tmp/greeting' } },
  parseAs: 'text',
});
const listed = must(await api.GET('/v1/sandboxes', { params: { query: { state: 'running' } } }));
const refused = await api.GET('/v1/sandboxes/{id}', { params: { path: { id: 'sb00000000000000000000' } } });
const gone = await api.DELETE('/v1/sandboxes/{id}', { params: { path } });
process.stdout.write(
  JSON.stringify({
    size: must(written).entry.size,
    state,
    resumed_by,
    stdout,
    exit_code,
    file: file.data,
    listed: listed.sandboxes.map(({ id }) => id === made.id),
    refused: refused.error?.error.code,
    gone: gone.response.status,
  }),
);
`;
