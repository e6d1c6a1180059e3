import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.js';
import { guestMemoryDirOf, instanceOf, temporaryDirOf } from './stack.js';

/** Everything an installation has on this machine outside of its logs, database and configuration. */
export interface Traces {
  /** Command lines. */
  readonly processes: readonly string[];
  /** Unix sockets of sandboxes. */
  readonly sockets: readonly string[];
  /** Names of the files that hold guest RAM. */
  readonly guestMemory: readonly string[];
  /** Names below `<data>/sandboxes`, hidden ones included. */
  readonly sandboxes: readonly string[];
  /** Names below `<data>/vms`: the places of VM processes. */
  readonly vms: readonly string[];
  /** Names below `<data>/layers`. */
  readonly layers: readonly string[];
  readonly mounts: readonly string[];
  readonly firewallTables: readonly string[];
  /** Names in what its processes use as /tmp. */
  readonly temporary: readonly string[];
}

/** Of an installation that is not up and has no sandboxes. */
export const NO_TRACES: Traces = {
  processes: [],
  sockets: [],
  guestMemory: [],
  sandboxes: [],
  vms: [],
  layers: [],
  mounts: [],
  firewallTables: [],
  temporary: [],
};

/** What an installation has on this machine right now, sorted, so that two moments can be compared. */
export async function tracesOf(dataDir: string): Promise<Traces> {
  const [processes, sockets, guestMemory, sandboxes, vms, layers, mounts, tables, temporary] =
    await Promise.all([
      commandLines(dataDir),
      linesWith('/proc/net/unix', `${dataDir}/vms/`),
      namesIn(guestMemoryDirOf(dataDir)),
      namesIn(join(dataDir, 'sandboxes')),
      namesIn(join(dataDir, 'vms')),
      namesIn(join(dataDir, 'layers')),
      linesWith('/proc/self/mountinfo', dataDir),
      run('nft', ['list', 'tables']),
      namesIn(temporaryDirOf(dataDir)),
    ]);
  const table = `table inet dormouse_${instanceOf(dataDir)}`;
  return {
    processes,
    // Addresses of kernel objects come first; the path is the last word.
    sockets: sockets.map((line) => line.slice(line.lastIndexOf(' ') + 1)).sort(),
    guestMemory,
    sandboxes,
    vms,
    layers,
    mounts: mounts.sort(),
    firewallTables: tables.stdout.split('\n').filter((line) => line === table),
    temporary,
  };
}

async function commandLines(dataDir: string): Promise<string[]> {
  return (await processesOf(dataDir)).map(({ line }) => line).sort();
}

/** The processes that know an installation's directory by argument, environment or working directory. */
export async function processesOf(
  dataDir: string,
): Promise<{ readonly pid: number; readonly line: string }[]> {
  const found: { readonly pid: number; readonly line: string }[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const line = (await textOf(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ').trim();
    // The workers of PostgreSQL come and go with their work; the server itself is listed.
    if (line === '' || line.startsWith('postgres:')) continue;
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    const known = [line, cwd, await textOf(`/proc/${pid}/environ`)];
    if (known.some((text) => text.includes(dataDir))) found.push({ pid: Number(pid), line });
  }
  return found;
}

async function linesWith(path: string, word: string): Promise<string[]> {
  return (await textOf(path)).split('\n').filter((line) => line.includes(word));
}

async function namesIn(dir: string): Promise<string[]> {
  return (await readdir(dir).catch(() => [])).sort();
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'latin1').catch(() => '');
}
