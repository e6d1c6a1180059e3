import { DormouseError } from '@dormouse/errors';
import type { Client } from '@dormouse/sdk';

/** Most sandboxes offered for choice. */
const OFFERED = 50;

/**
 * The sandbox a command is about: the one named, or on a terminal the one chosen from those that run.
 *
 * @throws DormouseError `invalid_request` when none was named and nobody can be asked
 */
export async function chooseSandbox(client: Client, id: string | undefined): Promise<string> {
  if (id !== undefined) return id;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new DormouseError('invalid_request', 'say which sandbox', {
      suggestion: '`dormouse sandbox ls` lists them.',
    });
  }
  const options: { value: string; label: string; hint: string }[] = [];
  for await (const { id, template, createdAt } of client.sandboxes.list({ state: 'running' })) {
    options.push({ value: id, label: id, hint: `${template}, since ${createdAt}` });
    if (options.length === OFFERED) break;
  }
  if (options.length === 0) {
    throw new DormouseError('not_found', 'no sandbox is running', {
      suggestion: 'Make one: dormouse sandbox create',
    });
  }
  const { isCancel, select } = await import('@clack/prompts');
  const chosen = await select({ message: 'Which sandbox?', options, output: process.stderr });
  if (isCancel(chosen)) throw new DormouseError('cancelled', 'no sandbox was chosen');
  return chosen;
}
