import { z } from 'zod';
import { NextCursor } from './paging.js';
import { Name, Timestamp } from './primitives.js';

export const Template = z
  .object({
    name: Name,
    image_id: z.string().meta({ description: 'Image the name means at present', example: 'img-8d1f0c2a' }),
    default_vcpus: z
      .int()
      .meta({ description: 'Virtual CPUs of a sandbox that does not say otherwise', example: 2 }),
    default_memory_mb: z
      .int()
      .meta({ description: 'Memory in MiB of a sandbox that does not say otherwise', example: 512 }),
    disk_mb: z.int().meta({ description: 'Size of the root file system in MiB', example: 4096 }),
    size_bytes: z.int().meta({ description: 'What it takes on the host', example: 450_000_000 }),
    created_at: Timestamp,
  })
  .meta({ id: 'Template' });
export type Template = z.infer<typeof Template>;

export const TemplateList = z
  .object({
    templates: z.array(Template).meta({ description: 'One page, by name' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'TemplateList' });
export type TemplateList = z.infer<typeof TemplateList>;
