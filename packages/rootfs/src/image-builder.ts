import { randomInt } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { assetPaths } from './assets.js';
import { commitByRename, syncDirectory, syncFile } from './commit.js';
import { isRecorded, recordImage } from './image-record.js';
import type { ProgressListener } from './progress.js';
import type { Recipe } from './recipe.js';
import { run } from './run.js';
import { imagePath, putTemplate, readTemplate, recipeHash, type Template } from './template.js';

const MIB = 1024 * 1024;
const BUILD_TIMEOUT_MS = 30 * 60_000;
const TOOL_TIMEOUT_MS = 5 * 60_000;
/** Documentation is of no use in a sandbox and a tenth of its size. */
const LEFT_OUT = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*', '/usr/share/info/*'];
/** Stages that mmdebstrap reports besides the recipe's commands; only a measure for progress. */
const DEBOOTSTRAP_STAGES = 9;
const COMMAND_STAGE = 'running --customize-hook';

/** How to build a template. */
export interface BuildOptions {
  /** Build even when the recipe has not changed. */
  readonly rebuild?: boolean;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

/**
 * Makes a template's image from its recipe, unless the present one was made from the same recipe: Debian by
 * mmdebstrap, the recipe's commands inside it, then an ext4 file system that nobody writes to any more. The
 * template's name moves to the new image at the very end; images that sandboxes still use stay.
 */
export async function buildTemplate(
  assetsDir: string,
  recipe: Recipe,
  options: BuildOptions = {},
): Promise<Template> {
  const onProgress = options.onProgress ?? (() => {});
  const step = `template ${recipe.name}`;
  const paths = assetPaths(assetsDir);
  await mkdir(paths.images, { recursive: true });
  await mkdir(paths.templates, { recursive: true });
  const present = await readTemplate(assetsDir, recipe.name);
  if (present?.recipeHash === recipeHash(recipe) && options.rebuild !== true) {
    onProgress({ step, status: 'skip' });
    // Images of earlier versions have no record yet.
    if (!(await isRecorded(assetsDir, present.imageId)))
      await recordImage(imagePath(assetsDir, present.imageId));
    if (present.ready === recipe.ready) return present;
    const changed = { ...present, ready: recipe.ready };
    await putTemplate(assetsDir, changed);
    return changed;
  }
  onProgress({ step, status: 'start', detail: 'collecting packages', percent: 0 });
  const work = await mkdtemp(join(paths.images, 'tmp-'));
  try {
    const tree = join(work, 'tree');
    await debootstrap(recipe, tree, step, options);
    await installNpmPackages(recipe, tree, work);
    onProgress({ step, status: 'progress', detail: 'writing the file system', percent: 90 });
    const image = join(work, 'image');
    await mkdir(image);
    await makeFileSystem(tree, join(image, 'root.ext4'), recipe.diskMb);
    const imageId = `img${randomSuffix()}`;
    const { size, blocks } = await stat(join(image, 'root.ext4'));
    await recordImage(join(image, 'root.ext4'));
    await syncDirectory(image);
    await commitByRename(image, join(paths.images, imageId));
    const template: Template = {
      name: recipe.name,
      imageId,
      recipeHash: recipeHash(recipe),
      description: recipe.description,
      user: recipe.user,
      ...(recipe.ready === undefined ? {} : { ready: recipe.ready }),
      vcpus: recipe.vcpus,
      memoryMb: recipe.memoryMb,
      diskBytes: size,
      sizeBytes: blocks * 512,
      createdAt: new Date().toISOString(),
    };
    await putTemplate(assetsDir, template);
    onProgress({ step, status: 'done', detail: `${Math.round(template.sizeBytes / MIB)} MiB`, percent: 100 });
    return template;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Removes what builds that were killed have left behind. Call it only while no build runs on this directory. */
export async function removeAbandonedBuilds(assetsDir: string): Promise<void> {
  const { images, kernels, templates } = assetPaths(assetsDir);
  const versions = (await readdir(kernels).catch(() => [])).map((name) => join(kernels, name));
  for (const dir of [assetsDir, images, kernels, templates, ...versions]) {
    for (const name of await readdir(dir).catch(() => [])) {
      const abandoned = name.startsWith('tmp-') || name.endsWith('.tmp');
      if (abandoned) await rm(join(dir, name), { recursive: true, force: true });
    }
  }
}

async function debootstrap(recipe: Recipe, tree: string, step: string, options: BuildOptions): Promise<void> {
  let stage = 0;
  let commands = 0;
  const stages = DEBOOTSTRAP_STAGES + recipe.run.length;
  await run(
    [
      'mmdebstrap',
      '--mode=root',
      '--format=directory',
      '--variant=minbase',
      `--include=${['ca-certificates', ...recipe.packages].join(',')}`,
      ...LEFT_OUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
      '--aptopt=Apt::Install-Recommends "false"',
      ...recipe.run.map((command) => `--customize-hook=chroot "$1" /bin/sh -euc ${shellQuote(command)}`),
      recipe.suite,
      tree,
    ],
    {
      timeoutMs: BUILD_TIMEOUT_MS,
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onLine: (line) => {
        if (!line.startsWith('I:')) return;
        stage += 1;
        const words = line.slice(2).trim();
        const isCommand = words.startsWith(COMMAND_STAGE);
        const detail = isCommand ? `running command ${++commands} of ${recipe.run.length}` : words;
        const percent = Math.min(85, Math.round((stage / stages) * 85));
        options.onProgress?.({ step, status: 'progress', detail, percent });
      },
    },
  );
}

async function installNpmPackages(recipe: Recipe, tree: string, work: string): Promise<void> {
  if (recipe.npm.length === 0) return;
  const cache = join(work, 'npm-cache');
  await run(
    [
      'npm',
      'install',
      '--global',
      '--ignore-scripts',
      '--prefix',
      join(tree, 'usr', 'local'),
      '--cache',
      cache,
      ...recipe.npm,
    ],
    { timeoutMs: TOOL_TIMEOUT_MS, cwd: work, env: { npm_config_update_notifier: 'false' } },
  );
}

/** A sparse file of the disk's full size: what is never written never takes space on the host. */
async function makeFileSystem(tree: string, path: string, diskMb: number): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    await file.truncate(diskMb * MIB);
  } finally {
    await file.close();
  }
  await run(
    [
      'mkfs.ext4',
      '-q',
      '-F',
      '-L',
      'dormouse',
      '-m',
      '1',
      '-E',
      'assume_storage_prezeroed=1,lazy_journal_init=1',
      '-d',
      tree,
      path,
    ],
    { timeoutMs: TOOL_TIMEOUT_MS },
  );
  await syncFile(path);
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function randomSuffix(): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from({ length: 20 }, () => alphabet[randomInt(alphabet.length)]).join('');
}
