import { detectKvm, findKernel, installHostGuard, qemuVersion } from '@dormouse/sandbox';

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** Users nobody has: rules for them show that rules can be made and concern no process. */
const NOBODY = { first: 4_294_000_000, last: 4_294_000_000 };

/** What only trying tells: whether KVM runs a guest kernel, whether guests can be kept away from the host. */
export async function checkHost(assetsDir: string, agentPath: string): Promise<readonly Check[]> {
  return [await checkQemu(), await checkKvm(assetsDir, agentPath), await checkGuard()];
}

async function checkQemu(): Promise<Check> {
  const name = 'QEMU';
  const version = await qemuVersion();
  if (version === undefined) {
    return { name, status: 'fail', detail: 'not installed', fix: 'apt-get install qemu-system-x86' };
  }
  return { name, status: 'ok', detail: version };
}

async function checkKvm(assetsDir: string, agentPath: string): Promise<Check> {
  const name = 'KVM';
  const kernel = await findKernel(assetsDir, agentPath).catch(() => undefined);
  if (kernel === undefined) {
    return {
      name,
      status: 'warn',
      detail: 'not tried: there is no guest kernel yet',
      fix: 'Run ./dormouse up once.',
    };
  }
  const verdict = await detectKvm(assetsDir, kernel);
  if (verdict.usable) return { name, status: 'ok', detail: 'a guest kernel boots under it' };
  return {
    name,
    status: 'warn',
    detail: `${verdict.reason}; guests run under software emulation, about ten times slower`,
    fix: 'Use a machine with hardware virtualisation. Emulation is for trying out: QEMU does not treat it as a security boundary.',
  };
}

async function checkGuard(): Promise<Check> {
  const name = 'network guard';
  try {
    const guard = await installHostGuard('doctor', NOBODY);
    await guard.remove();
    return { name, status: 'ok', detail: 'guests cannot reach services of this host' };
  } catch (error) {
    return {
      name,
      status: 'warn',
      detail: `guests can reach services that listen on this host (${error instanceof Error ? error.message : error})`,
      fix: 'Install nftables and run as root on a kernel with nf_tables.',
    };
  }
}
