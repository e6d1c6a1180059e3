import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { owned } from './lab-process.mjs';
import { SetupError } from './setup-error.mjs';

/** A quiet machine takes a tenth of this from the start of QEMU to the first line of output. */
const BOOT_LIMIT_MS = 5 * 60_000;
const MEMORY_MB = 4096;
const CONSOLE_LINES = 25;

/**
 * The outer QEMU: it emulates a processor of AMD with its virtualisation (SVM), so that KVM in the lab host is real.
 *
 * @param {import('./lab-root.mjs').LabRoot} root
 * @param {readonly string[]} disks raw files; the lab host's changes to them are thrown away
 * @param {{ console: string, result: string }} files
 * @returns {readonly string[]}
 */
export function labArguments(root, disks, files) {
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-name', 'dormouse-lab'],
    ...['-M', 'q35', '-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', 'EPYC,+svm,+npt,+nrip-save'],
    ...['-smp', '2', '-m', `${MEMORY_MB}M`],
    ...['-kernel', root.kernel, '-initrd', root.initrd],
    ...['-append', 'console=ttyS0 root=/dev/vda rw panic=-1 mitigations=off init=/usr/local/sbin/lab-init'],
    ...['-chardev', `file,id=console,path=${optionValue(files.console)}`, '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-pci', '-chardev', 'stdio,id=output,signal=off'],
    ...['-device', 'virtserialport,chardev=output,nr=1'],
    ...['-chardev', `file,id=result,path=${optionValue(files.result)}`],
    ...['-device', 'virtserialport,chardev=result,nr=2'],
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
    ...[root.disk, ...disks].flatMap((path, index) => [
      '-drive',
      `if=none,id=disk${index},format=raw,snapshot=on,cache=unsafe,file=${optionValue(path)}`,
      '-device',
      `virtio-blk-pci,drive=disk${index}`,
    ]),
  ];
}

/** @param {string} text QEMU writes a comma inside an option value as two */
const optionValue = (text) => text.replaceAll(',', ',,');

/**
 * Runs the lab host to its end.
 *
 * @param {readonly string[]} args of QEMU
 * @param {{ dir: string, limitSeconds: number, onOutput: (text: string) => void }} options
 * @returns {Promise<void>}
 * @throws {SetupError} when it does not come up, or has not ended within its limit
 */
export async function runLabHost(args, { dir, limitSeconds, onOutput }) {
  const [program, ...all] = owned(['qemu-system-x86_64', ...args], limitSeconds);
  // Nothing is ever written to stdin, but where it is at its end QEMU tells the guest that nobody listens.
  const child = spawn(program, all, { cwd: dir, stdio: ['pipe', 'pipe', 'pipe'] });
  let errors = '';
  let silent = false;
  const boot = setTimeout(() => {
    silent = true;
    child.kill('SIGTERM');
  }, BOOT_LIMIT_MS);
  child.stdout.setEncoding('utf8').on('data', (text) => {
    clearTimeout(boot);
    onOutput(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = `${errors}${text}`.slice(-4_000);
  });
  /** @param {NodeJS.Signals} signal */
  const stop = (signal) => {
    child.kill('SIGTERM');
    child.once('close', () => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    const ending = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(signal ?? code));
    });
    if (ending === 0) return;
    const what = silent
      ? `the lab host did not come up within ${BOOT_LIMIT_MS / 60_000} minutes`
      : ending === TIMED_OUT
        ? `the lab host had not ended after ${limitSeconds / 60} minutes`
        : `the lab host ended with ${ending}`;
    throw new SetupError(what, { output: `${errors}${consoleTail(dir)}` });
  } finally {
    clearTimeout(boot);
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

/** What timeout(1) ends with when the limit was reached. */
const TIMED_OUT = 124;

/**
 * @param {string} dir of the lab
 * @returns {string} the last that the lab host's kernel and first programs said
 */
export function consoleTail(dir) {
  try {
    return readFileSync(join(dir, 'console.log'), 'utf8').split('\n').slice(-CONSOLE_LINES).join('\n');
  } catch {
    return '';
  }
}
