import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { replaceFile } from '@dormouse/rootfs';
import { type Accelerator, type KvmVerdict, probeKvm } from '@dormouse/vmm';
import { z } from 'zod';

const run = promisify(execFile);

const recordSchema = z.object({
  bootId: z.string(),
  qemu: z.string(),
  kernel: z.string(),
  verdict: z.union([
    z.object({ usable: z.literal(true) }),
    z.object({ usable: z.literal(false), reason: z.string() }),
  ]),
});

/** First line of `qemu-system-x86_64 --version`, or undefined without QEMU. */
export async function qemuVersion(): Promise<string | undefined> {
  const { stdout } = await run('qemu-system-x86_64', ['--version']).catch(() => ({ stdout: '' }));
  return /version (\S+)/.exec(stdout)?.[1];
}

/**
 * Whether KVM works here, found out by really booting the kernel once; the answer is remembered for this boot of the
 * host, this QEMU and this kernel.
 */
export async function detectKvm(
  dataDir: string,
  kernel: { readonly version: string; readonly vmlinuxPath: string },
): Promise<KvmVerdict> {
  const path = join(dataDir, 'accelerator.json');
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const qemu = (await qemuVersion()) ?? 'none';
  const recorded = recordSchema.safeParse(
    await readFile(path, 'utf8')
      .then(JSON.parse)
      .catch(() => undefined),
  );
  if (recorded.success) {
    const { data } = recorded;
    if (data.bootId === bootId && data.qemu === qemu && data.kernel === kernel.version) return data.verdict;
  }
  const verdict = await probeKvm(kernel.vmlinuxPath);
  await replaceFile(path, JSON.stringify({ bootId, qemu, kernel: kernel.version, verdict }));
  return verdict;
}

/** The accelerator to use, by a verdict on KVM. */
export function acceleratorFor(verdict: KvmVerdict): Accelerator {
  return verdict.usable ? 'kvm' : 'tcg';
}
