import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { VmSpec, VmUser } from '../micro-vm.js';
import { vmAssets } from './vm-assets.js';

const run = promisify(execFile);
const MEMORY_BYTES = 256 * 1024 * 1024;
const MEMORY_DIR = '/dev/shm';

/** Files for one VM, all gone when disposed, together with any process that uses them. */
export interface TestMachine extends AsyncDisposable {
  readonly spec: VmSpec;
  /** Processes that name this machine's files on their command line. */
  processes(): Promise<readonly number[]>;
}

/** A machine from template `base`, not booted yet. */
export async function testMachine(user?: VmUser): Promise<TestMachine> {
  const assets = await vmAssets();
  const dir = await mkdtemp(join(tmpdir(), 'dormouse-'));
  await chmod(dir, 0o711);
  const runDir = join(dir, 'run');
  const memoryPath = join(MEMORY_DIR, dir.slice(tmpdir().length + 1));
  const diskPath = join(dir, 'disk.qcow2');
  await mkdir(runDir, { mode: 0o700 });
  await writeFile(memoryPath, '', { mode: 0o600 });
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', assets.imagePath, diskPath]);
  if (user !== undefined) {
    for (const path of [runDir, memoryPath, diskPath]) await chown(path, user.uid, user.gid);
  }
  const processes = (): Promise<readonly number[]> => processesNaming(dir);
  return {
    spec: {
      runDir,
      logDir: dir,
      accelerator: assets.accelerator,
      vcpus: 1,
      memoryBytes: MEMORY_BYTES,
      memoryPath,
      kernelPath: assets.vmlinuxPath,
      initramfsPath: assets.initramfsPath,
      diskPath,
      consoleLogPath: join(dir, 'console.log'),
      network: { kind: 'user', restricted: true },
      ...(user === undefined ? {} : { user }),
    },
    processes,
    [Symbol.asyncDispose]: async () => {
      for (const pid of await processes()) process.kill(pid, 'SIGKILL');
      await rm(memoryPath, { force: true });
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function processesNaming(path: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const commandLine = await readFile(`/proc/${name}/cmdline`, 'latin1').catch(() => '');
    if (commandLine.includes(path)) found.push(Number(name));
  }
  return found;
}
