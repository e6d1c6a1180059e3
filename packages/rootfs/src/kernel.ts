import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { z } from 'zod';
import { assetPaths } from './assets.js';
import { commitByRename, replaceFile, syncFile } from './commit.js';
import { kernelPayload, loadOrder, moduleDependencies } from './kernel-image.js';
import type { ProgressListener } from './progress.js';
import { run } from './run.js';

/** Debian's meta-package of the kernel for virtual machines; its dependency names the current version. */
const KERNEL_META_PACKAGE = 'linux-image-cloud-amd64';

/** What a guest needs before its root file system is there; ext4 is built into this kernel. */
const WANTED_MODULES = ['virtio_mmio', 'virtio_blk', 'virtio_console', 'virtio_net', 'virtio_rng'] as const;

const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;
const TOOL_TIMEOUT_MS = 2 * 60_000;

/** A guest kernel that is ready to boot. */
export interface Kernel {
  readonly version: string;
  readonly vmlinuxPath: string;
  readonly initramfsPath: string;
}

const kernelManifest = z.object({ version: z.string(), modules: z.array(z.string()) });

/**
 * The newest kernel in an assets directory with an initramfs that holds this guest agent, both made when missing.
 *
 * @param agentPath the guest agent's binary
 */
export async function ensureKernel(
  assetsDir: string,
  agentPath: string,
  onProgress: ProgressListener = () => {},
): Promise<Kernel> {
  const { kernels } = assetPaths(assetsDir);
  await mkdir(kernels, { recursive: true });
  const version = (await newestKernel(kernels)) ?? (await unpackKernel(kernels, onProgress));
  const initramfsPath = await ensureInitramfs(join(kernels, version), agentPath, onProgress);
  return { version, vmlinuxPath: join(kernels, version, 'vmlinux'), initramfsPath };
}

/** The kernel an assets directory holds, with the initramfs of this agent; undefined unless both are there. */
export async function findKernel(assetsDir: string, agentPath: string): Promise<Kernel | undefined> {
  const { kernels } = assetPaths(assetsDir);
  const version = await newestKernel(kernels);
  if (version === undefined) return undefined;
  const initramfsPath = join(kernels, version, await initramfsName(agentPath));
  const there = (await readdir(join(kernels, version))).includes(basename(initramfsPath));
  return there ? { version, vmlinuxPath: join(kernels, version, 'vmlinux'), initramfsPath } : undefined;
}

async function newestKernel(kernels: string): Promise<string | undefined> {
  const names = await readdir(kernels).catch(() => []);
  const versions = names.filter((name) => /^\d/.test(name));
  versions.sort(new Intl.Collator('en', { numeric: true }).compare);
  return versions.at(-1);
}

async function unpackKernel(kernels: string, onProgress: ProgressListener): Promise<string> {
  const step = 'kernel';
  onProgress({ step, status: 'start', detail: 'downloading the guest kernel' });
  const work = await mkdtemp(join(kernels, 'tmp-'));
  try {
    const depends = await run(['apt-cache', 'depends', '--important', KERNEL_META_PACKAGE], {
      timeoutMs: TOOL_TIMEOUT_MS,
    });
    const packageName = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
    if (packageName === undefined) {
      throw new DormouseError('setup_failed', `the package lists do not know ${KERNEL_META_PACKAGE}`, {
        suggestion: 'Run `apt-get update`, then try again.',
      });
    }
    await run(['apt-get', 'download', packageName], { cwd: work, timeoutMs: DOWNLOAD_TIMEOUT_MS });
    const deb = (await readdir(work)).find((name) => name.endsWith('.deb'));
    if (deb === undefined)
      throw new DormouseError('setup_failed', `apt-get downloaded no file for ${packageName}`);
    onProgress({ step, status: 'progress', detail: 'unpacking the guest kernel', percent: 60 });
    await run(['dpkg-deb', '-x', deb, 'package'], { cwd: work, timeoutMs: TOOL_TIMEOUT_MS });

    const version = packageName.slice('linux-image-'.length);
    const result = join(work, 'result');
    await mkdir(join(result, 'modules'), { recursive: true });
    await extractVmlinux(join(work, 'package', 'boot', `vmlinuz-${version}`), join(result, 'vmlinux'), work);
    const modules = await collectModules(
      join(work, 'package', 'lib', 'modules', version),
      join(result, 'modules'),
    );
    await writeFile(join(result, 'manifest.json'), JSON.stringify({ version, modules }));
    await syncFile(join(result, 'vmlinux'));
    await commitByRename(result, join(kernels, version));
    onProgress({ step, status: 'done', detail: version, percent: 100 });
    return version;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function extractVmlinux(bzImagePath: string, vmlinuxPath: string, work: string): Promise<void> {
  const { compression, bytes } = kernelPayload(await readFile(bzImagePath));
  const packed = join(work, 'payload');
  await writeFile(packed, bytes);
  await run(['sh', '-c', `${compression} -dc < "$1" > "$2"`, 'sh', packed, vmlinuxPath], {
    timeoutMs: TOOL_TIMEOUT_MS,
  });
}

/** Copies the wanted modules and what they depend on; answers their names in load order. */
async function collectModules(tree: string, target: string): Promise<readonly string[]> {
  const paths = new Map<string, string>();
  for (const name of await readdir(tree, { recursive: true })) {
    if (name.endsWith('.ko')) paths.set(basename(name, '.ko').replaceAll('-', '_'), join(tree, name));
  }
  const dependencies = new Map<string, readonly string[]>();
  const read = async (name: string): Promise<void> => {
    const path = paths.get(name);
    if (path === undefined || dependencies.has(name)) return;
    const needs = moduleDependencies(await readFile(path)).map((need) => need.replaceAll('-', '_'));
    dependencies.set(name, needs);
    for (const need of needs) await read(need);
  };
  for (const name of WANTED_MODULES) await read(name);
  const order = loadOrder(WANTED_MODULES, dependencies);
  for (const name of order) await cp(paths.get(name)!, join(target, `${name}.ko`));
  return order;
}

/** The initramfs is named by what it is made from, so a new agent gets a new one and running guests keep theirs. */
async function initramfsName(agentPath: string): Promise<string> {
  const agent = await readFile(agentPath).catch((error: unknown) => {
    throw new DormouseError('setup_failed', 'the guest agent has not been built', {
      cause: error,
      suggestion: 'Run `make -C guest`.',
    });
  });
  return `initramfs-${createHash('sha256').update(agent).digest('hex').slice(0, 16)}.cpio`;
}

async function ensureInitramfs(
  kernelDir: string,
  agentPath: string,
  onProgress: ProgressListener,
): Promise<string> {
  const step = 'initramfs';
  const name = await initramfsName(agentPath);
  const path = join(kernelDir, name);
  if ((await readdir(kernelDir)).includes(name)) {
    onProgress({ step, status: 'skip' });
    return path;
  }
  onProgress({ step, status: 'start' });
  const { modules } = kernelManifest.parse(
    JSON.parse(await readFile(join(kernelDir, 'manifest.json'), 'utf8')),
  );
  const work = await mkdtemp(join(kernelDir, 'tmp-'));
  try {
    const root = join(work, 'root');
    await mkdir(join(root, 'modules'), { recursive: true });
    await mkdir(join(root, 'dev'));
    await cp(agentPath, join(root, 'init'));
    for (const module of modules)
      await cp(join(kernelDir, 'modules', `${module}.ko`), join(root, 'modules', `${module}.ko`));
    await writeFile(join(root, 'modules', 'load.order'), modules.map((module) => `${module}.ko\n`).join(''));
    await run(
      [
        'sh',
        '-c',
        'chmod 755 init && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 > ../initramfs.cpio',
      ],
      {
        cwd: root,
        timeoutMs: TOOL_TIMEOUT_MS,
      },
    );
    await replaceFile(path, await readFile(join(work, 'initramfs.cpio')));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  onProgress({ step, status: 'done', detail: name });
  return path;
}
