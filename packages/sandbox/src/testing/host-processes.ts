import { readdir, readFile } from 'node:fs/promises';

/** Environment variable by which the page servers of a host are known: their command lines name no host. */
export const HOST_MARK = 'DORMOUSE_TEST_HOST';

/** Command lines that name a path, each with its process id in front. */
export async function processesNaming(path: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await processIds()) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (commandLine.includes(path)) found.push(`${pid} ${commandLine.replaceAll('\0', ' ')}`);
  }
  return found;
}

/** Process ids of the page servers that a host with this data directory has started. */
export async function pageServersOf(dataDir: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await processIds()) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (!commandLine.includes('/page-server/dist/main.js')) continue;
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    if (environment.split('\0').includes(`${HOST_MARK}=${dataDir}`)) found.push(Number(pid));
  }
  return found;
}

async function processIds(): Promise<readonly string[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
}
