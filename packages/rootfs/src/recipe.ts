import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { z } from 'zod';

/** Template names, as in the API: they become file names. */
export const TEMPLATE_NAME: RegExp = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/;

const MAX_ANCESTORS = 16;

const recipeSchema = z.strictObject({
  $schema: z.string().optional(),
  description: z.string(),
  /** Another recipe whose packages and commands come first. */
  extends: z.string().regex(TEMPLATE_NAME).optional(),
  /** Debian release; of the first ancestor. */
  suite: z
    .string()
    .regex(/^[a-z]+$/)
    .optional(),
  /** Debian packages, without their recommendations. */
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9.+-]*$/)).default([]),
  /** npm packages installed globally, `name@version`; their install scripts do not run. */
  npm: z.array(z.string().regex(/^(@[a-z0-9._-]+\/)?[a-z0-9._-]+@[a-z0-9.^~-]+$/i)).default([]),
  /** Shell commands, run as root inside the new root file system, in order. */
  run: z.array(z.string()).default([]),
  /** User that commands run as when a caller names none; `run` must have made it. */
  user: z.string().optional(),
  /** Shell command, run as root in a booted guest until it succeeds; then the template is frozen. */
  ready: z.string().min(1).optional(),
  vcpus: z.int().min(1).max(64).optional(),
  memory_mb: z.int().min(128).max(1_048_576).optional(),
  disk_mb: z.int().min(512).max(4_194_304).optional(),
});

type RecipeFile = z.infer<typeof recipeSchema>;

/** A recipe with everything it inherits. */
export interface Recipe {
  readonly name: string;
  readonly description: string;
  readonly suite: string;
  readonly packages: readonly string[];
  readonly npm: readonly string[];
  readonly run: readonly string[];
  readonly user: string;
  /** Undefined: as soon as the guest takes commands. */
  readonly ready: string | undefined;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
}

/**
 * Reads `NAME.json` and the recipes it extends.
 *
 * @throws DormouseError `not_found` for a recipe that is not there, `invalid_request` for one that makes no sense
 */
export async function loadRecipe(recipesDir: string, name: string): Promise<Recipe> {
  const chain: RecipeFile[] = [];
  for (let next: string | undefined = name; next !== undefined; next = chain.at(-1)?.extends) {
    if (chain.length === MAX_ANCESTORS) {
      throw new DormouseError(
        'invalid_request',
        `recipe ${name} extends more than ${MAX_ANCESTORS} others, or itself`,
      );
    }
    chain.push(await readRecipe(recipesDir, next));
  }
  const family = chain.toReversed();
  const own = chain[0]!;
  const inherited = <Key extends keyof (typeof chain)[number]>(
    key: Key,
  ): (typeof chain)[number][Key] | undefined => chain.find((recipe) => recipe[key] !== undefined)?.[key];
  return {
    name,
    description: own.description,
    suite: inherited('suite') ?? 'bookworm',
    packages: [...new Set(family.flatMap((recipe) => recipe.packages))],
    npm: [...new Set(family.flatMap((recipe) => recipe.npm))],
    run: family.flatMap((recipe) => recipe.run),
    user: inherited('user') ?? 'root',
    ready: inherited('ready'),
    vcpus: inherited('vcpus') ?? 1,
    memoryMb: inherited('memory_mb') ?? 512,
    diskMb: inherited('disk_mb') ?? 8_192,
  };
}

async function readRecipe(recipesDir: string, name: string): Promise<RecipeFile> {
  if (!TEMPLATE_NAME.test(name)) throw new DormouseError('invalid_request', `'${name}' is no template name`);
  const path = join(recipesDir, `${name}.json`);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new DormouseError('not_found', `there is no recipe '${name}'`, {
      cause: error,
      suggestion: `Write images/${name}.json; images/README.md says how.`,
    });
  }
  try {
    return recipeSchema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new DormouseError('invalid_request', `images/${name}.json: ${why}`, { cause: error });
  }
}
