import { mkdir } from 'node:fs/promises';
import {
  buildTemplate,
  ensureKernel,
  loadRecipe,
  type ProgressListener,
  removeAbandonedBuilds,
  type Template,
} from '@dormouse/rootfs';
import { detectKvm } from './accelerator.js';

/** What to prepare. */
export interface PrepareOptions {
  readonly assetsDir: string;
  /** Directory with template recipes. */
  readonly recipesDir: string;
  readonly agentPath: string;
  /** Names of the templates to build where they are missing or their recipe has changed. */
  readonly templates: readonly string[];
  /** Build the templates even when nothing has changed. */
  readonly rebuild?: boolean;
  readonly onProgress: ProgressListener;
}

/**
 * Prepares everything that sandboxes are made from: kernel, initramfs, templates, and the verdict on KVM. What is
 * there already is left alone; what an earlier run has left half made is removed. One call at a time per directory.
 */
export async function prepareAssets(options: PrepareOptions): Promise<readonly Template[]> {
  const { assetsDir, onProgress } = options;
  await mkdir(assetsDir, { recursive: true, mode: 0o711 });
  await removeAbandonedBuilds(assetsDir);
  const kernel = await ensureKernel(assetsDir, options.agentPath, onProgress);
  const probing = probe(assetsDir, kernel, onProgress);
  const templates: Template[] = [];
  for (const name of options.templates) {
    const recipe = await loadRecipe(options.recipesDir, name);
    templates.push(await buildTemplate(assetsDir, recipe, { rebuild: options.rebuild ?? false, onProgress }));
  }
  await probing;
  return templates;
}

async function probe(
  assetsDir: string,
  kernel: { readonly version: string; readonly vmlinuxPath: string },
  onProgress: ProgressListener,
): Promise<void> {
  const step = 'accelerator';
  onProgress({ step, status: 'start', detail: 'trying KVM' });
  const verdict = await detectKvm(assetsDir, kernel);
  const detail = verdict.usable ? 'KVM' : `software emulation (${verdict.reason})`;
  onProgress({ step, status: 'done', detail });
}
