import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { prepareAssets } from '@dormouse/sandbox';
import { DEFAULT_AGENT_PATH, DEFAULT_RECIPES_DIR } from './configuration.js';

/**
 * Prepares kernel and templates: `prepare --assets DIR [--template NAME]… [--rebuild]`. Progress and result are JSON
 * lines on standard output; the last one is `{"done":true,…}` or `{"error":{…}}`.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      assets: { type: 'string' },
      template: { type: 'string', multiple: true, default: [] },
      rebuild: { type: 'boolean', default: false },
      recipes: { type: 'string', default: DEFAULT_RECIPES_DIR },
    },
  });
  if (values.assets === undefined) throw new DormouseError('invalid_request', '--assets DIR is missing');
  const templates = await prepareAssets({
    assetsDir: resolve(values.assets),
    recipesDir: resolve(values.recipes),
    agentPath: resolve(process.env.DORMOUSE_GUEST_AGENT ?? DEFAULT_AGENT_PATH),
    templates: values.template,
    rebuild: values.rebuild,
    onProgress: printLine,
  });
  printLine({ done: true, templates });
}

function printLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

main().catch((thrown: unknown) => {
  const { code, message, suggestion, exitCode } = fromUnknown(thrown);
  printLine({ error: { code, message, suggestion } });
  process.exitCode = exitCode;
});
