import { PageQuery, type Template, TemplateList } from '@dormouse/contracts';
import type { Template as HostTemplate } from '@dormouse/host-api';
import { createRoute } from '@hono/zod-openapi';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { errors, json } from '../http/route-parts.js';
import { hostTemplates } from './host-templates.js';

const BYTES_PER_MB = 1024 * 1024;

const list = createRoute({
  method: 'get',
  path: '/v1/templates',
  operationId: 'listTemplates',
  tags: ['Templates'],
  summary: 'List templates',
  description: 'What sandboxes can be made of, by name.',
  request: { query: PageQuery },
  responses: { 200: json(TemplateList, 'All of them'), ...errors('unavailable') },
});

/** What sandboxes can be made of. */
export function templateRoutes(services: Services): App {
  const part = createPart();
  part.openapi(list, async (c) => {
    const templates = (await hostTemplates(services)).map(presentTemplate);
    return c.json({ templates, next_cursor: null }, 200);
  });
  return part;
}

function presentTemplate(template: HostTemplate): Template {
  return {
    name: template.name,
    image_id: template.imageId,
    default_vcpus: template.defaultVcpus,
    default_memory_mb: template.defaultMemoryMb,
    disk_mb: Math.round(Number(template.diskBytes) / BYTES_PER_MB),
    size_bytes: Number(template.sizeBytes),
    created_at: new Date(Number(template.createdAtMs)).toISOString(),
  };
}
