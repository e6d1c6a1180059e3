import { mkdirSync } from 'node:fs';
import { DormouseError } from '@dormouse/errors';
import { dataDirectoryOf, dataPaths } from '../data-directory.js';
import { answerJson } from '../terminal/answer.js';
import { createSteps } from '../terminal/steps.js';
import { checkRoot, checkTools } from '../up/preflight.js';
import { prepareAssets } from '../up/prepare-assets.js';

/** Builds a template in the data directory; a running `up` offers it from then on. */
export async function buildTemplate(
  template: string,
  flags: { readonly data?: string; readonly json?: boolean },
): Promise<void> {
  checkRoot();
  checkTools();
  const paths = dataPaths(dataDirectoryOf(flags.data));
  mkdirSync(paths.root, { recursive: true });
  const controller = new AbortController();
  const stop = (): void => controller.abort(new DormouseError('cancelled', 'interrupted'));
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    const request = { assets: paths.assets, template, rebuild: true, logs: paths.logs };
    const result = await prepareAssets(request, createSteps(process.stderr), controller.signal);
    if (flags.json) answerJson(result);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}
