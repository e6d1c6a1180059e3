import { readFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { keepConsoleLog } from '../console-log.js';
import type { MicroVm, VmExit } from '../micro-vm.js';
import { isSameProcess, waitForDeath } from '../process-identity.js';
import { vmSockets } from './arguments.js';
import type { QmpClient } from './qmp.js';

const KILL_TIMEOUT_MS = 10_000;
/** Between the control connection's end and the process's own: QEMU closes its sockets a moment before it exits. */
const EXIT_GRACE_MS = 5_000;
const VMM_LOG_TAIL_BYTES = 4_096;

/** Name of the file in the log directory that holds what QEMU writes about itself. */
export const VMM_LOG = 'qemu.log';
/** Name of the file in the log directory that holds what the guest prints on its console. */
export const CONSOLE_LOG = 'console.log';

/** What is known of a QEMU process when its control connection stands. */
export interface QemuVmParts {
  readonly pid: number;
  readonly startTicks: number;
  readonly runDir: string;
  readonly logDir: string;
  readonly qmp: QmpClient;
  readonly console: Socket;
  /** Exit code and signal, known only to the process that started QEMU. */
  readonly childExit?: Promise<{ readonly exitCode?: number; readonly signal?: string }>;
}

/** A QEMU process with its control connection. */
export class QemuVm implements MicroVm {
  readonly pid: number;
  readonly startTicks: number;
  readonly guestSocketPath: string;
  readonly exited: Promise<VmExit>;
  readonly qmp: QmpClient;
  readonly #console: Socket;
  #detached = false;

  constructor(parts: QemuVmParts) {
    this.pid = parts.pid;
    this.startTicks = parts.startTicks;
    this.qmp = parts.qmp;
    this.#console = parts.console;
    this.guestSocketPath = vmSockets(parts.runDir).guest;
    void keepConsoleLog(parts.console, join(parts.logDir, CONSOLE_LOG));
    this.exited = this.#watch(parts);
  }

  async kill(): Promise<void> {
    if (await isSameProcess(this.pid, this.startTicks)) {
      process.kill(this.pid, 'SIGKILL');
      if (!(await waitForDeath(this.pid, this.startTicks, KILL_TIMEOUT_MS))) {
        throw new DormouseError(
          'internal',
          `VM process ${this.pid} survived SIGKILL for ${KILL_TIMEOUT_MS} ms`,
        );
      }
    }
    this.qmp.close();
    this.#console.destroy();
  }

  detach(): void {
    this.#detached = true;
    this.qmp.close();
    this.#console.destroy();
  }

  /** The control connection ends when the process does, and it ends for re-attached processes too. */
  async #watch(parts: QemuVmParts): Promise<VmExit> {
    await parts.qmp.closed;
    if (this.#detached) return await new Promise(() => {});
    if (!(await waitForDeath(this.pid, this.startTicks, EXIT_GRACE_MS))) await this.kill();
    const exit = await parts.childExit;
    return { ...exit, log: await vmmLogTail(parts.logDir) };
  }
}

/** The last lines QEMU wrote about itself. */
export async function vmmLogTail(logDir: string): Promise<string> {
  const log = await readFile(join(logDir, VMM_LOG), 'utf8').catch(() => '');
  return log.slice(-VMM_LOG_TAIL_BYTES).trim();
}

/** Connects to the console socket, which exists from before the control connection answers. */
export function connectConsole(runDir: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(vmSockets(runDir).console);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
  });
}
