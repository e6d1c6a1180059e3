import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What differs between builds of QEMU. */
export interface QemuFeatures {
  /** Whether it can filter its own system calls (`-sandbox`). */
  readonly seccomp: boolean;
}

/** Asks the installed QEMU what it was built with. Without QEMU every answer is no; starting it then says so. */
export async function qemuFeatures(): Promise<QemuFeatures> {
  // A build without the feature refuses the option before it gets to the version.
  const seccomp = await promisify(execFile)('qemu-system-x86_64', ['-sandbox', 'on', '-version']).then(
    () => true,
    () => false,
  );
  return { seccomp };
}
