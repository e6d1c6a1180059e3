import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { runtimePackages } from '../checkout.js';
import { humanBytes } from '../terminal/human.js';
import { findTool, MIN_SHM_BYTES, shmDirectory } from '../up/preflight.js';
import { type DoctorRow, fail, ok, warn } from './row.js';

const GIB: number = 1024 ** 3;

/** Kernel, template and database take about 1.5 GiB; sandboxes write on top. */
const MIN_DISK_BYTES: number = 3 * GIB;
const GOOD_DISK_BYTES: number = 10 * GIB;

const GOOD_MEMORY_BYTES: number = 2 * GIB;

export const TCG_IS_NO_BOUNDARY =
  'guests run in software (TCG): good for trying out, slow, and not a security boundary';

/** What can be seen from here without starting anything. */
export function checkMachine(data: string): readonly DoctorRow[] {
  return [
    ok('Node.js', process.version),
    checkUser(),
    ...checkTools(),
    checkKvmDevice(),
    checkUserfaultfd(),
    checkShm(),
    checkCgroups(),
    checkDisk(data),
    checkMemory(),
  ];
}

function checkUser(): DoctorRow {
  if (process.getuid?.() === 0) return ok('root', 'yes');
  return fail('root', 'this is not root', 'Run `dormouse up` as root; other commands need no root.');
}

function checkTools(): DoctorRow[] {
  const packages = runtimePackages();
  const versions = packageVersions(packages.map(({ name }) => name));
  return packages.map(({ name, tool }) => {
    const path = findTool(tool);
    if (path === undefined) return fail(tool, 'missing', `apt-get install ${name}`);
    const version = versions.get(name);
    return ok(tool, version === undefined ? path : `${name} ${version}`);
  });
}

/** Versions of the Debian packages that are installed; none where there is no dpkg. */
function packageVersions(names: readonly string[]): ReadonlyMap<string, string> {
  let output = '';
  try {
    const format = `-f=\${binary:Package}\t\${Version}\n`;
    output = execFileSync('dpkg-query', ['--show', format, ...names], {
      stdio: ['ignore', 'pipe', 'ignore'],
    }).toString();
  } catch (thrown) {
    // It fails when one of them is not installed, and still prints the others.
    const { stdout } = thrown as { stdout?: unknown };
    if (stdout instanceof Buffer) output = stdout.toString();
  }
  const pairs = output.split('\n').map((line) => line.split('\t'));
  return new Map(pairs.map(([name = '', version = '']) => [name.replace(/:.*/, ''), version]));
}

function checkKvmDevice(): DoctorRow {
  const fix = 'Use a machine with hardware virtualisation and its KVM module loaded.';
  if (!existsSync('/dev/kvm')) return warn('KVM', `no /dev/kvm; ${TCG_IS_NO_BOUNDARY}`, fix);
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return warn('KVM', `/dev/kvm may not be opened; ${TCG_IS_NO_BOUNDARY}`, 'Run as root.');
  }
  // Opening is no proof; only a guest that boots is.
  return warn(
    'KVM',
    '/dev/kvm is there; whether a guest boots under it was not tried',
    'Run ./dormouse up once.',
  );
}

function checkUserfaultfd(): DoctorRow {
  const name = 'userfaultfd';
  const sysctl = '/proc/sys/vm/unprivileged_userfaultfd';
  if (!existsSync('/dev/userfaultfd') && !existsSync(sysctl)) {
    const lack = 'the kernel has none: waking a sandbox will have to read all of its memory first';
    return warn(name, lack, 'Use a kernel with CONFIG_USERFAULTFD.');
  }
  const device = existsSync('/dev/userfaultfd') ? '/dev/userfaultfd' : 'no /dev/userfaultfd';
  const setting = existsSync(sysctl) ? readFileSync(sysctl, 'utf8').trim() : 'unknown';
  return ok(name, `${device}, vm.unprivileged_userfaultfd=${setting}`);
}

function checkShm(): DoctorRow {
  const directory = shmDirectory();
  try {
    const { bavail, blocks, bsize } = statfsSync(directory);
    const detail = `${humanBytes(bavail * bsize)} free of ${humanBytes(blocks * bsize)}`;
    if (bavail * bsize >= MIN_SHM_BYTES) return ok(directory, detail);
    return fail(directory, detail, `mount -o remount,size=75% ${directory}`);
  } catch {
    return fail(directory, 'missing', `mount -t tmpfs tmpfs ${directory}`);
  }
}

function checkCgroups(): DoctorRow {
  const path = '/sys/fs/cgroup/cgroup.controllers';
  if (existsSync(path)) return ok('cgroups v2', readFileSync(path, 'utf8').trim() || 'no controllers');
  return warn(
    'cgroups v2',
    'not mounted on /sys/fs/cgroup: guests share CPU and memory without weights',
    'Boot with systemd.unified_cgroup_hierarchy=1.',
  );
}

function checkDisk(data: string): DoctorRow {
  let directory = data;
  while (!existsSync(directory)) directory = dirname(directory);
  const { bavail, bsize } = statfsSync(directory);
  const detail = `${humanBytes(bavail * bsize)} free in ${directory}`;
  const fix = 'Make room, or choose another disk with --data.';
  if (bavail * bsize < MIN_DISK_BYTES) return fail('disk', detail, fix);
  return bavail * bsize < GOOD_DISK_BYTES ? warn('disk', detail, fix) : ok('disk', detail);
}

function checkMemory(): DoctorRow {
  const field = (name: string): number => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'));
    return Number(match?.[1] ?? 0) * 1024;
  };
  const available = field('MemAvailable');
  const detail = `${humanBytes(available)} available of ${humanBytes(field('MemTotal'))}`;
  if (available >= GOOD_MEMORY_BYTES) return ok('memory', detail);
  return warn('memory', detail, 'Only a few small sandboxes fit at once.');
}
