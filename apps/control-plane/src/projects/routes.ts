import {
  ClosedProject,
  CreateProjectRequest,
  DEFAULT_PAGE_SIZE,
  ListProjectsQuery,
  OpenedProject,
  PageQuery,
  Project,
  ProjectList,
  ProjectSnapshot,
  ProjectSnapshotList,
  RestoreProjectRequest,
  SaveProjectRequest,
} from '@dormouse/contracts';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { errorMessage } from '../http/errors.js';
import { jsonBody } from '../http/json-body.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { presentSandbox } from '../sandboxes/present.js';
import { closeProject } from './close.js';
import { createProject } from './create.js';
import { findProject } from './find.js';
import { type Opened, openProject } from './open.js';
import { presentProject, presentSave } from './present.js';
import { removeProject } from './remove.js';
import { restoreProject } from './restore.js';
import { saveProject } from './save.js';

/** Ids that cannot exist are unknown ids: 404, not 400. */
const ProjectParams = z.object({
  id: z.string().meta({ description: 'Id or name of the project', example: 'pj4f9k2m7q1x8c3v6b0n5z' }),
});

const tags = ['Projects'];

const create = createRoute({
  method: 'post',
  path: '/v1/projects',
  operationId: 'createProject',
  ...audited('project.create'),
  tags,
  summary: 'Make a project',
  description: [
    'A workspace of somebody that always comes back as it was left. It has no sandbox before it is opened.',
    'Its template must exist.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(CreateProjectRequest) },
  responses: {
    201: json(Project, 'The project'),
    ...errors('not_found', 'already_exists', 'invalid_state', 'payload_too_large', 'unavailable'),
  },
});

const list = createRoute({
  method: 'get',
  path: '/v1/projects',
  operationId: 'listProjects',
  tags,
  summary: 'List projects',
  description: 'Newest first.',
  request: { query: ListProjectsQuery },
  responses: { 200: json(ProjectList, 'One page'), ...errors() },
});

const get = createRoute({
  method: 'get',
  path: '/v1/projects/{id}',
  operationId: 'getProject',
  tags,
  summary: 'Get a project',
  description: 'By its id or its name. `sandbox_id` says where it is open.',
  request: { params: ProjectParams },
  responses: { 200: json(Project, 'The project'), ...errors('not_found') },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/projects/{id}',
  operationId: 'deleteProject',
  ...audited('project.delete'),
  tags,
  summary: 'Delete a project',
  description: 'With its sandbox and all moments of it that were kept. Nothing of it can be had back.',
  request: { params: ProjectParams },
  responses: { 204: { description: 'It is gone' }, ...errors('not_found', 'invalid_state') },
});

const open = createRoute({
  method: 'post',
  path: '/v1/projects/{id}/open',
  operationId: 'openProject',
  ...audited('project.open'),
  tags,
  summary: 'Open a project',
  description: [
    'Answers when its sandbox takes commands. That is the one it has, running or paused (`restored_from` is `live`);',
    'else one that begins with its newest moment (`snapshot`); else, when there is none or it could not be restored,',
    'one of its template (`template`). `restore_error` says what failed before. A moment that could not be restored',
    'is kept whatever retention says, and a sandbox that could not be resumed stays as it is.',
    'Equal requests at the same time are one.',
    'It goes from one way to the next only when the host finds that the content is damaged, or made for another',
    'machine. After any other error nothing less is opened in its place: the request fails, and can be repeated.',
    'Where that does not help, `restore` opens another moment, and `POST /v1/sandboxes/{id}/resume` with `reboot`',
    'boots a paused sandbox from its disk.',
  ].join(' '),
  request: { params: ProjectParams },
  responses: {
    200: json(OpenedProject, 'It is open'),
    ...errors(
      'not_found',
      'invalid_state',
      'quota_exceeded',
      'no_capacity',
      'no_space',
      'boot_failed',
      'restore_failed',
      'unavailable',
    ),
  },
});

const save = createRoute({
  method: 'post',
  path: '/v1/projects/{id}/save',
  operationId: 'saveProject',
  ...audited('project.save'),
  tags,
  summary: 'Keep a moment of a project',
  description: [
    'Memory, processes and disk of its sandbox, which goes on as it was; from now on the project opens there when it',
    'has no sandbox. Files below `workspace` are counted in the sandbox just before, as root, on its file system alone,',
    'for 15 s at most. Without a description the moment is an automatic one: once it is kept, automatic moments beyond the',
    'newest `keep_last` are deleted.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { params: ProjectParams, body: jsonRequest(SaveProjectRequest) },
  responses: {
    201: json(ProjectSnapshot, 'It is kept'),
    ...errors('not_found', 'invalid_state', 'pause_failed', 'guest_unreachable', 'no_space', 'unavailable'),
  },
});

const snapshots = createRoute({
  method: 'get',
  path: '/v1/projects/{id}/snapshots',
  operationId: 'listProjectSnapshots',
  tags,
  summary: 'List the kept moments of a project',
  description:
    'Newest first. Each is a snapshot like any other: sandboxes can begin with it, and `DELETE /v1/snapshots/{name}` deletes it.',
  request: { params: ProjectParams, query: PageQuery },
  responses: { 200: json(ProjectSnapshotList, 'One page'), ...errors('not_found') },
});

const restore = createRoute({
  method: 'post',
  path: '/v1/projects/{id}/restore',
  operationId: 'restoreProject',
  ...audited('project.restore'),
  tags,
  summary: 'Go back to a moment of a project',
  description: [
    'Opens the project where that moment was kept. Where it is open its present moment is kept first, automatically,',
    'and its sandbox goes when the other one runs. When restoring fails it goes on where it was.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { params: ProjectParams, body: jsonRequest(RestoreProjectRequest) },
  responses: {
    200: json(OpenedProject, 'It is open there'),
    ...errors(
      'not_found',
      'invalid_state',
      'snapshot_incompatible',
      'snapshot_corrupt',
      'pause_failed',
      'restore_failed',
      'no_capacity',
      'no_space',
      'quota_exceeded',
      'unavailable',
    ),
  },
});

const close = createRoute({
  method: 'post',
  path: '/v1/projects/{id}/close',
  operationId: 'closeProject',
  ...audited('project.close'),
  tags,
  summary: 'Close a project',
  description: [
    'Keeps its present moment, automatically, and frees its sandbox. Closing what is closed changes nothing.',
    'When keeping fails it stays open.',
  ].join(' '),
  request: { params: ProjectParams },
  responses: {
    200: json(ClosedProject, 'It is closed'),
    ...errors('not_found', 'invalid_state', 'pause_failed', 'guest_unreachable', 'no_space', 'unavailable'),
  },
});

/** Workspaces that always come back. */
export function projectRoutes(services: Services): App {
  const part = createPart();

  part.openapi(create, async (c) => {
    const record = await createProject(services, c.get('team'), c.req.valid('json'));
    c.header('Location', `/v1/projects/${record.id}`);
    return c.json(presentProject(record), 201);
  });

  part.openapi(list, async (c) => {
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await c.get('team').projects.list({ limit, cursor });
    return c.json({ projects: page.items.map(presentProject), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(get, async (c) => {
    return c.json(presentProject(await findProject(c.get('team'), c.req.valid('param').id)), 200);
  });

  part.openapi(remove, async (c) => {
    await removeProject(services, c.get('team'), c.req.valid('param').id);
    return c.body(null, 204);
  });

  part.openapi(open, async (c) => {
    const opened = await openProject(services, c.get('team'), c.req.valid('param').id);
    return c.json(presentOpened(opened), 200);
  });

  part.openapi(save, async (c) => {
    const team = c.get('team');
    const record = await saveProject(services, team, c.req.valid('param').id, c.req.valid('json'));
    c.header('Location', `/v1/snapshots/${record.id}`);
    return c.json(presentSave(record), 201);
  });

  part.openapi(snapshots, async (c) => {
    const team = c.get('team');
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const { id } = await findProject(team, c.req.valid('param').id);
    const page = await team.projectSaves.list(id, { limit, cursor });
    return c.json({ snapshots: page.items.map(presentSave), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(restore, async (c) => {
    const { snapshot_id: snapshotId } = c.req.valid('json');
    const opened = await restoreProject(services, c.get('team'), c.req.valid('param').id, snapshotId);
    return c.json(presentOpened(opened), 200);
  });

  part.openapi(close, async (c) => {
    const closed = await closeProject(services, c.get('team'), c.req.valid('param').id);
    const snapshot = closed.save === null ? null : presentSave(closed.save);
    return c.json({ project: presentProject(closed.project), snapshot }, 200);
  });

  return part;
}

function presentOpened({ project, sandbox, restoredFrom, snapshotId, restoreError }: Opened): OpenedProject {
  return {
    project: presentProject(project),
    sandbox: presentSandbox(sandbox),
    restored_from: restoredFrom,
    snapshot_id: snapshotId,
    restore_error:
      restoreError === null ? null : { code: restoreError.code, message: errorMessage(restoreError) },
  };
}
