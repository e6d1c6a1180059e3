import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import type { Accelerator } from '../micro-vm.js';
import { EMULATED_CPU, MACHINE_TYPE } from './arguments.js';

const PROGRAM = 'qemu-system-x86_64';

/**
 * What QEMU's device state depends on. The program is known by size and time: another build has others, and hashing it
 * would cost more than starting it.
 *
 * @throws DormouseError `missing_tool`
 */
export async function qemuFacts(
  accelerator: Accelerator,
): Promise<Readonly<Record<string, string | number>>> {
  return {
    vmm: PROGRAM,
    vmmBuild: await programBuild(),
    machineType: MACHINE_TYPE,
    accelerator,
    cpuModel: accelerator === 'tcg' ? EMULATED_CPU : await hostCpu(),
  };
}

async function programBuild(): Promise<string> {
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const found = await stat(join(dir, PROGRAM)).catch(() => undefined);
    if (found?.isFile()) return `${found.size}-${Math.round(found.mtimeMs)}`;
  }
  throw new DormouseError('missing_tool', `${PROGRAM} is not installed`);
}

/** Under KVM the guest sees the host's processor: its model and what it can do. */
async function hostCpu(): Promise<string> {
  const text = await readFile('/proc/cpuinfo', 'utf8');
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? '';
  const flags = createHash('sha256').update(field('flags')).digest('hex').slice(0, 16);
  return `${field('model name')} ${flags}`;
}
