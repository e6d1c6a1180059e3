import {
  DEFAULT_PAGE_SIZE,
  DirectoryListing,
  ListDirectoryQuery,
  MakeDirectoryRequest,
  MakeDirectoryResult,
  ReadFileQuery,
  ReadFileRequest,
  RemoveFileQuery,
  WriteFileQuery,
  WriteFileResult,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { createRoute } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { z } from 'zod';
import type { AppEnv, Services } from '../context.js';
import { expected, HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { type App, createPart } from '../http/app.js';
import { breakOff, clientGone } from '../http/client-gone.js';
import { invalidRequest } from '../http/errors.js';
import { jsonBody } from '../http/json-body.js';
import { withRequestBody } from '../http/request-body.js';
import { errors, json, jsonRequest, SandboxParams } from '../http/route-parts.js';
import { notAudited } from '../http/route-table.js';
import { findRunning } from '../sandboxes/find.js';
import { download } from './download.js';
import { listDirectory } from './list-directory.js';
import { withFormFile } from './multipart.js';
import { parseMode, presentFile } from './present.js';
import { upload } from './upload.js';

const bytes = { type: 'string', format: 'binary' } as const;
const rawBody = { content: { 'application/octet-stream': { schema: bytes } } };
const formBody = {
  content: {
    'multipart/form-data': {
      schema: {
        type: 'object' as const,
        properties: {
          path: { type: 'string' as const, description: 'Before `file`, or as query parameter' },
          file: bytes,
        },
        required: ['file'],
      },
    },
    ...rawBody.content,
  },
};
const file = {
  200: { description: 'The bytes', content: { 'application/octet-stream': { schema: bytes } } },
};
const fileErrors = errors('not_found', 'invalid_state', 'guest_unreachable', 'unavailable');
const writeErrors = errors(
  'not_found',
  'invalid_state',
  'payload_too_large',
  'guest_unreachable',
  'unavailable',
  'no_space',
);

const put = createRoute({
  method: 'put',
  path: '/v1/sandboxes/{id}/files',
  operationId: 'writeFile',
  ...notAudited,
  tags: ['Files'],
  summary: 'Write a file',
  description:
    'The body is the file, of any size. It is written as it comes: an upload that breaks off leaves a part of it.',
  request: { params: SandboxParams, query: WriteFileQuery, body: rawBody },
  responses: { 200: json(WriteFileResult, 'It is written'), ...writeErrors },
});

const get = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}/files',
  operationId: 'readFile',
  tags: ['Files'],
  summary: 'Read a file',
  description: 'The body is the file, of any size. `Range: bytes=…` answers a part of it.',
  request: { params: SandboxParams, query: ReadFileQuery },
  responses: {
    ...file,
    206: { ...file[200], description: 'The bytes of the range' },
    ...errors('not_found', 'invalid_state', 'range_not_satisfiable', 'guest_unreachable', 'unavailable'),
  },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/sandboxes/{id}/files',
  operationId: 'removeFile',
  ...notAudited,
  tags: ['Files'],
  summary: 'Remove a file or directory',
  description:
    'A directory only with `recursive=true`, unless it is empty. Links are removed, not what they lead to.',
  request: { params: SandboxParams, query: RemoveFileQuery },
  responses: { 204: { description: 'It is gone' }, ...fileErrors },
});

const listDir = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}/dir',
  operationId: 'listDirectory',
  tags: ['Files'],
  summary: 'List a directory',
  description: 'Entries by path, as many levels deep as `depth` says. Links are listed, and not followed.',
  request: { params: SandboxParams, query: ListDirectoryQuery },
  responses: { 200: json(DirectoryListing, 'One page of its entries'), ...fileErrors },
});

const makeDir = createRoute({
  method: 'post',
  path: '/v1/sandboxes/{id}/dir',
  operationId: 'makeDirectory',
  ...notAudited,
  tags: ['Files'],
  summary: 'Make a directory',
  description: 'With its missing parents, unless `parents` is false.',
  middleware: [jsonBody] as const,
  request: { params: SandboxParams, body: jsonRequest(MakeDirectoryRequest) },
  responses: {
    201: json(MakeDirectoryResult, 'It is there'),
    ...errors('already_exists', 'not_found', 'invalid_state', 'guest_unreachable', 'unavailable'),
  },
});

const writes = (
  [
    ['/files/write', 'writeFileByForm'],
    ['/files/stream/write', 'writeFileByFormStream'],
  ] as const
).map(([end, operationId]) =>
  createRoute({
    method: 'post',
    path: `/v1/sandboxes/{id}${end}`,
    operationId,
    ...notAudited,
    tags: ['Files'],
    summary: 'Write a file, for simple HTTP clients',
    description:
      'A form with `path` and `file`; or the bytes themselves, with `path` as query parameter. Streamed in both forms.',
    request: { params: SandboxParams, query: WriteFileQuery.partial({ path: true }), body: formBody },
    responses: { 200: json(WriteFileResult, 'It is written'), ...writeErrors },
  }),
);

const reads = (
  [
    ['/files/read', 'readFileByPost'],
    ['/files/stream/read', 'readFileByPostStream'],
  ] as const
).map(([end, operationId]) =>
  createRoute({
    method: 'post',
    path: `/v1/sandboxes/{id}${end}`,
    operationId,
    ...notAudited,
    tags: ['Files'],
    summary: 'Read a file, for simple HTTP clients',
    description: 'The same as `GET …/files`, with the path in a body.',
    middleware: [jsonBody] as const,
    request: { params: SandboxParams, body: jsonRequest(ReadFileRequest) },
    responses: { ...file, ...fileErrors },
  }),
);

/** Files and directories of a sandbox. */
export function fileRoutes({ host }: Services): App {
  const part = createPart();

  part.openapi(put, async (c) => {
    const { path, user = '', mode } = c.req.valid('query');
    const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
    const target = { sandboxId: id, path, user, mode: parseMode(mode) };
    const gone = clientGone(c);
    const entry = await withRequestBody(c, (bytes) => upload(host, target, bytes, gone));
    return c.json({ entry: presentFile(entry) }, 200);
  });

  part.openapi(get, async (c) => {
    const { path, user = '' } = c.req.valid('query');
    const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
    return download(host, {
      sandboxId: id,
      path,
      user,
      range: c.req.header('range'),
      headOnly: c.req.method === 'HEAD',
      signal: clientGone(c),
      breakOff: breakOff(c),
    });
  });

  part.openapi(remove, async (c) => {
    const { path, user = '', recursive } = c.req.valid('query');
    const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
    await hostCall(
      host.removeFile(
        { sandboxId: id, path, user, recursive: recursive === 'true' },
        { timeoutMs: HOST_CALL_TIMEOUT_MS },
      ),
    );
    return c.body(null, 204);
  });

  part.openapi(listDir, async (c) => {
    const { path, user = '', depth = 1, limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
    const page = await listDirectory(host, {
      sandboxId: id,
      path,
      user,
      depth,
      limit,
      cursor,
      signal: clientGone(c),
    });
    return c.json({ entries: page.entries.map(presentFile), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(makeDir, async (c) => {
    const { path, user = '', mode, parents } = c.req.valid('json');
    const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
    const { entry } = await hostCall(
      host.makeDirectory(
        { sandboxId: id, path, user, mode: parseMode(mode), parents },
        { timeoutMs: HOST_CALL_TIMEOUT_MS },
      ),
    );
    return c.json({ entry: presentFile(expected(entry, 'the directory')) }, 201);
  });

  for (const route of writes) {
    part.openapi(route, async (c) => {
      const query = c.req.valid('query');
      const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
      const gone = clientGone(c);
      const entry = await withRequestBody(c, (body) =>
        isForm(c)
          ? withFormFile(headersOf(c), body, ({ fields, bytes }) =>
              upload(host, target(id, { ...query, ...Object.fromEntries(fields) }), bytes, gone),
            )
          : upload(host, target(id, query), body, gone),
      );
      return c.json({ entry: presentFile(entry) }, 200);
    });
  }

  for (const route of reads) {
    part.openapi(route, async (c) => {
      const { path, user = '' } = c.req.valid('json');
      const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
      return download(host, {
        sandboxId: id,
        path,
        user,
        range: undefined,
        headOnly: false,
        signal: clientGone(c),
        breakOff: breakOff(c),
      });
    });
  }

  return part;
}

function isForm(c: Context<AppEnv>): boolean {
  return /^multipart\/form-data\b/i.test(c.req.header('content-type') ?? '');
}

function headersOf(c: Context<AppEnv>): { 'content-type': string } {
  return { 'content-type': c.req.header('content-type') ?? '' };
}

/** The target of a write, from query and form fields together. */
function target(
  sandboxId: string,
  fields: { readonly [Field in keyof z.output<typeof WriteFileQuery>]?: string | undefined },
): Parameters<typeof upload>[1] {
  if (fields.path === undefined) {
    throw new DormouseError('invalid_request', 'path: send it before the file, or as query parameter');
  }
  const parsed = WriteFileQuery.safeParse(fields);
  if (!parsed.success) throw invalidRequest(parsed.error);
  const { path, user = '', mode } = parsed.data;
  return { sandboxId, path, user, mode: parseMode(mode) };
}
