import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import type { TemplateRecipe } from '@dormouse/sdk';
import type { ConnectionFlags } from '../commands/options.js';
import { connect } from '../connection.js';
import { answerJson, answerLine } from '../terminal/answer.js';
import { printable } from '../terminal/printable.js';

/** The fields of a recipe that are written otherwise in the API. */
const NAMES: Readonly<Record<string, string>> = {
  start_command: 'startCommand',
  ready_command: 'readyCommand',
  memory_mb: 'memoryMb',
  step_timeout_sec: 'stepTimeoutSec',
};

/**
 * Builds a template from a recipe as the API takes it, telling on standard error what the build says.
 *
 * @param file `-`: standard input
 * @throws DormouseError `invalid_request`, `not_found`, or `invalid_state` when the build fails
 */
export async function createTemplate(
  file: string,
  flags: ConnectionFlags & { readonly detach?: boolean },
): Promise<void> {
  const { builds } = connect(flags).templates;
  const recipe = parseRecipe(file === '-' ? await text(process.stdin) : await read(file));
  const built = flags.detach
    ? await builds.create(recipe)
    : await builds.run(recipe, {
        onLog: (entry) => process.stderr.write(entry.text.split('\n').map(printable).join('\n')),
      });
  if (flags.json) answerJson(built);
  else answerLine(flags.detach ? built.id : built.name);
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const missing = systemErrorCode(error) === 'ENOENT';
    throw new DormouseError(missing ? 'not_found' : 'invalid_request', `${file} cannot be read`, {
      cause: error,
    });
  }
}

/** What is wrong inside a recipe the server says. */
export function parseRecipe(json: string): TemplateRecipe {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new DormouseError('invalid_request', 'the recipe is not valid JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null || !('name' in value) || typeof value.name !== 'string') {
    throw new DormouseError('invalid_request', 'a recipe is an object with a name');
  }
  const entries = Object.entries(value).map(([key, item]) => [NAMES[key] ?? key, item]);
  return { ...(Object.fromEntries(entries) as object), name: value.name };
}
