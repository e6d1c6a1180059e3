import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';

/** Whether KVM can be used, and if not, why, in words for people. */
export type KvmVerdict = { readonly usable: true } | { readonly usable: false; readonly reason: string };

/** A kernel that runs at all prints its first line at once; nested virtualisation makes that a few seconds. */
const FIRST_SIGN_MS = 8_000;
const WHOLE_BOOT_MS = 60_000;

/**
 * Boots the guest kernel once under KVM, without any disk. It works when the kernel gets as far as giving up for
 * want of a root file system: it then restarts the machine, which ends QEMU with exit code 0. Opening /dev/kvm
 * proves nothing: on some nested hosts KVM_CREATE_VM succeeds and a stock kernel never runs.
 *
 * @param kernelPath uncompressed ELF kernel image
 */
export async function probeKvm(kernelPath: string): Promise<KvmVerdict> {
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return { usable: false, reason: '/dev/kvm is missing or may not be opened' };
  }
  return await new Promise((resolve) => {
    const child = spawn(
      'qemu-system-x86_64',
      [
        ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
        ...['-M', 'microvm,acpi=on,rtc=on,isa-serial=on', '-accel', 'kvm', '-cpu', 'host', '-m', '128'],
        ...['-kernel', kernelPath, '-append', 'console=ttyS0 earlyprintk=ttyS0 reboot=t panic=-1'],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let errors = '';
    let verdict: KvmVerdict | undefined;
    const giveUp = (reason: string): void => {
      verdict ??= { usable: false, reason };
      child.kill('SIGKILL');
    };
    const noSign = setTimeout(
      () => giveUp('a guest kernel does not run under it (no sign of life)'),
      FIRST_SIGN_MS,
    );
    const tooLong = setTimeout(
      () => giveUp('a guest kernel does not finish booting under it'),
      WHOLE_BOOT_MS,
    );
    child.stdout.on('data', () => clearTimeout(noSign));
    child.stderr.on('data', (chunk: Buffer) => {
      if (errors.length < 1_000) errors += chunk.toString('utf8');
    });
    child.once('error', (error) => giveUp(error.message));
    child.once('close', (code) => {
      clearTimeout(noSign);
      clearTimeout(tooLong);
      if (verdict === undefined && code === 0) verdict = { usable: true };
      resolve(
        verdict ?? { usable: false, reason: errors.trim().split('\n')[0] ?? `QEMU ended with ${code}` },
      );
    });
  });
}
