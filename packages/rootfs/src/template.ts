import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { z } from 'zod';
import { assetPaths } from './assets.js';
import { replaceFile } from './commit.js';
import { type Recipe, TEMPLATE_NAME } from './recipe.js';

/** A name that sandboxes are made from, and the immutable image behind it. */
export interface Template {
  readonly name: string;
  readonly imageId: string;
  /** Of the recipe it was built from. */
  readonly recipeHash: string;
  readonly description: string;
  /** User that commands run as when a caller names none. */
  readonly user: string;
  /** Shell command that tells, by succeeding, that a booted guest may be frozen. */
  readonly ready?: string | undefined;
  readonly vcpus: number;
  readonly memoryMb: number;
  /** Size of the root file system. */
  readonly diskBytes: number;
  /** What the image takes on the host. */
  readonly sizeBytes: number;
  /** RFC 3339. */
  readonly createdAt: string;
}

const templateSchema: z.ZodType<Template> = z.object({
  name: z.string().regex(TEMPLATE_NAME),
  imageId: z.string().regex(/^img[a-z0-9]{20}$/),
  recipeHash: z.string(),
  description: z.string(),
  user: z.string(),
  ready: z.string().optional(),
  vcpus: z.int(),
  memoryMb: z.int(),
  diskBytes: z.int(),
  sizeBytes: z.int(),
  createdAt: z.iso.datetime(),
});

/** Identifies the image that a recipe makes, so that an unchanged one is not built again. */
export function recipeHash(recipe: Recipe): string {
  const { ready: _, ...image } = recipe;
  return createHash('sha256').update(JSON.stringify(image)).digest('hex');
}

/** Path of an image's read-only root file system. */
export function imagePath(assetsDir: string, imageId: string): string {
  return join(assetPaths(assetsDir).images, imageId, 'root.ext4');
}

/**
 * Looks a template up by its name.
 *
 * @throws DormouseError `not_found`, also for names that no template can have
 */
export async function findTemplate(assetsDir: string, name: string): Promise<Template> {
  const template = TEMPLATE_NAME.test(name) ? await readTemplate(assetsDir, name) : undefined;
  if (template !== undefined) return template;
  throw new DormouseError('not_found', `there is no template '${name}'`, {
    suggestion: '`dormouse template ls` shows those there are.',
  });
}

/** All templates, by name. */
export async function listTemplates(assetsDir: string): Promise<readonly Template[]> {
  const files = await readdir(assetPaths(assetsDir).templates).catch((error: unknown) => {
    // Images that no template has are removed: a directory that cannot be read now is not an empty one.
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    return [];
  });
  const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
  const templates = await Promise.all(names.toSorted().map((name) => readTemplate(assetsDir, name)));
  return templates.filter((template) => template !== undefined);
}

/** Points a template's name at an image that is complete. */
export async function putTemplate(assetsDir: string, template: Template): Promise<void> {
  await replaceFile(
    join(assetPaths(assetsDir).templates, `${template.name}.json`),
    JSON.stringify(template, null, 2),
  );
}

/** The template as recorded, or undefined when there is none. */
export async function readTemplate(assetsDir: string, name: string): Promise<Template | undefined> {
  const path = join(assetPaths(assetsDir).templates, `${name}.json`);
  try {
    return templateSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new DormouseError('internal', `the record of template '${name}' cannot be read`, {
      cause: error,
      suggestion: `Build it again: \`dormouse template build ${name}\`.`,
    });
  }
}
