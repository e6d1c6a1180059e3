import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Assets that are the given ones, but for the memory that their templates give to guests: small guests are quicker to
 * freeze, and the frozen moment of a template fits guests of the template's own size only.
 */
export async function assetsWithMemory(
  preparedDir: string,
  dataDir: string,
  memoryMb: number,
): Promise<string> {
  const assetsDir = join(dataDir, 'assets');
  const templates = join(assetsDir, 'templates');
  await mkdir(templates, { recursive: true, mode: 0o711 });
  for (const name of ['kernels', 'images']) await symlink(join(preparedDir, name), join(assetsDir, name));
  for (const name of await readdir(join(preparedDir, 'templates'))) {
    if (!name.endsWith('.json')) continue;
    const template: unknown = JSON.parse(await readFile(join(preparedDir, 'templates', name), 'utf8'));
    await writeFile(join(templates, name), JSON.stringify(Object.assign({}, template, { memoryMb })));
  }
  return assetsDir;
}
