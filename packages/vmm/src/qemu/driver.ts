import { spawn } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError, fromUnknown, systemErrorCode } from '@dormouse/errors';
import type {
  Accelerator,
  MachineSpec,
  MicroVm,
  StandbySpec,
  StandbyVm,
  VmDriver,
  VmIdentity,
  VmSpec,
} from '../micro-vm.js';
import { isSameProcess, processStartTicks } from '../process-identity.js';
import { kernelCommandLine, qemuCommand, vmSockets } from './arguments.js';
import { qemuFacts } from './facts.js';
import { type QemuFeatures, qemuFeatures } from './features.js';
import { hostTscKhz } from './host-tsc.js';
import { QemuStandby } from './qemu-standby.js';
import { adopt, type QemuControl, VMM_LOG, vmmLogTail } from './qemu-vm.js';
import { QmpClient } from './qmp.js';

/** QEMU itself answers within a tenth of a second; the bound is for a machine that swaps or is overcommitted. */
const CONTROL_TIMEOUT_MS = 30_000;
/** A QEMU that gives up closes its sockets a moment before it exits, and only its exit tells why. */
const EXIT_GRACE_MS = 2_000;
/** What setpriv ends with when there is no such program; QEMU itself never does. Source: setpriv(1), "Exit status". */
const PROGRAM_NOT_FOUND = 127;

/** Drives stock QEMU, its microvm machine. Processes are detached: they survive whoever started them. */
export class QemuDriver implements VmDriver {
  #tscKhz: Promise<number | undefined> | undefined;
  #features: Promise<QemuFeatures> | undefined;

  async boot(spec: VmSpec, signal?: AbortSignal): Promise<MicroVm> {
    return await this.#start(spec, signal, async (control) => {
      const vm = await adopt(control, spec);
      await control.qmp.execute('cont');
      return vm;
    });
  }

  async standBy(spec: StandbySpec, signal?: AbortSignal): Promise<StandbyVm> {
    return await this.#start(spec, signal, async (control) => {
      await control.qmp.execute('migrate-set-capabilities', {
        capabilities: [{ capability: 'postcopy-ram', state: true }],
      });
      return new QemuStandby(control);
    });
  }

  facts(accelerator: Accelerator): Promise<Readonly<Record<string, string | number>>> {
    return qemuFacts(accelerator);
  }

  async attach(identity: VmIdentity, timeoutMs: number = CONTROL_TIMEOUT_MS): Promise<MicroVm | undefined> {
    if (!(await isSameProcess(identity.pid, identity.startTicks))) return undefined;
    const qmp = await QmpClient.connect(vmSockets(identity.runDir).qmp, timeoutMs);
    try {
      return await adopt({ ...identity, qmp }, identity);
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  /** The command line of guest kernels on this host. */
  async commandLine(accelerator: Accelerator): Promise<string> {
    this.#tscKhz ??= hostTscKhz();
    const tscKhz = await this.#tscKhz;
    return kernelCommandLine({
      accelerator,
      ...(tscKhz === undefined ? {} : { hostTscKhz: tscKhz }),
    });
  }

  /** Starts a process and hands over its control connection; no process is left when that fails. */
  async #start<T>(
    spec: VmSpec | StandbySpec,
    signal: AbortSignal | undefined,
    take: (control: QemuControl) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const commandLine = await this.commandLine(spec.accelerator);
    this.#features ??= qemuFeatures();
    const child = await startDetached(qemuCommand(spec, commandLine, await this.#features), spec.logDir);
    const failed = child.exit.then(async ({ exitCode, signal: name }) => {
      if (exitCode === PROGRAM_NOT_FOUND) throw missingTool('qemu-system-x86_64');
      const how = exitCode === undefined ? `signal ${name}` : `exit code ${exitCode}`;
      throw new DormouseError('boot_failed', `QEMU ended with ${how}: ${await vmmLogTail(spec.logDir)}`);
    });
    failed.catch(() => {});
    const abandoned = new AbortController();
    const stop = AbortSignal.any([abandoned.signal, ...(signal ? [signal] : [])]);
    try {
      return await Promise.race([
        control(spec, child, stop, take).catch(async (error: unknown) => {
          if (signal?.aborted !== true) await Promise.race([failed, delay(EXIT_GRACE_MS)]);
          throw error;
        }),
        failed,
      ]);
    } catch (error) {
      abandoned.abort();
      killGroup(child.pid);
      await child.exit;
      throw error;
    }
  }
}

/** Connects to a QEMU that stands still or waits. */
async function control<T>(
  spec: MachineSpec,
  child: DetachedProcess,
  signal: AbortSignal,
  take: (control: QemuControl) => Promise<T>,
): Promise<T> {
  const qmp = await QmpClient.connect(vmSockets(spec.runDir).qmp, CONTROL_TIMEOUT_MS, signal);
  try {
    const startTicks = await processStartTicks(child.pid);
    if (startTicks === undefined) throw new DormouseError('boot_failed', 'QEMU ended before it ran');
    const { runDir, logDir } = spec;
    return await take({ pid: child.pid, startTicks, runDir, logDir, qmp, childExit: child.exit });
  } catch (error) {
    qmp.close();
    throw error;
  }
}

interface DetachedProcess {
  readonly pid: number;
  readonly exit: Promise<{ readonly exitCode?: number; readonly signal?: string }>;
}

/** Starts a process in a session of its own, its output in a log file. */
async function startDetached(
  command: readonly [string, ...string[]],
  logDir: string,
): Promise<DetachedProcess> {
  const [program, ...args] = command;
  const logPath = join(logDir, VMM_LOG);
  await rm(logPath, { force: true });
  const log = await open(logPath, 'a', 0o600);
  try {
    // What is in our environment may be secret, and a guest that breaks out of its VM reads what its process has.
    const env = { PATH: process.env.PATH };
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log.fd, log.fd], cwd: '/', env });
    const exit = new Promise<{ exitCode?: number; signal?: string }>((resolve) => {
      child.once('exit', (code, name) => {
        resolve({ ...(code === null ? {} : { exitCode: code }), ...(name === null ? {} : { signal: name }) });
      });
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    return { pid: child.pid!, exit };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw missingTool(program, error);
    throw fromUnknown(error);
  } finally {
    await log.close();
  }
}

function missingTool(program: string, cause?: unknown): DormouseError {
  return new DormouseError('missing_tool', `${program} is not installed`, {
    cause,
    suggestion: 'Run `./dormouse doctor`: it names the missing packages.',
  });
}

/** setpriv becomes QEMU by exec, so the pid and the group are QEMU's own. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}
