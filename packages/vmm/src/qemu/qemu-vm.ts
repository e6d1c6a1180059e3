import { readFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { ConsoleLog } from '../console-log.js';
import type { MicroVm, VmExit, VmLife } from '../micro-vm.js';
import { isSameProcess, waitForDeath } from '../process-identity.js';
import { layerNode, layerOptions, topmostLayer, vmSockets } from './arguments.js';
import { endMigration, saveDevices } from './freeze.js';
import type { BlockNode, QmpClient } from './qmp.js';

const KILL_TIMEOUT_MS = 10_000;
/** Between the control connection's end and the process's own: QEMU closes its sockets a moment before it exits. */
const EXIT_GRACE_MS = 5_000;
const VMM_LOG_TAIL_BYTES = 4_096;

/** Name of the file in the log directory that holds what QEMU writes about itself. */
export const VMM_LOG = 'qemu.log';

/** What is known of a QEMU process when its control connection stands. */
export interface QemuControl {
  readonly pid: number;
  readonly startTicks: number;
  readonly runDir: string;
  readonly logDir: string;
  readonly qmp: QmpClient;
  /** Exit code and signal, known only to the process that started QEMU. */
  readonly childExit?: Promise<{ readonly exitCode?: number; readonly signal?: string }> | undefined;
}

/** Makes a VM of a QEMU process: from then on what its guest prints is kept. */
export async function adopt(control: QemuControl, life: Pick<VmLife, 'consoleLogPath'>): Promise<QemuVm> {
  return new QemuVm(control, await connectConsole(control.runDir), life.consoleLogPath);
}

/** A QEMU process with its control connection. */
export class QemuVm implements MicroVm {
  readonly pid: number;
  readonly startTicks: number;
  readonly guestSocketPath: string;
  readonly exited: Promise<VmExit>;
  readonly qmp: QmpClient;
  readonly #runDir: string;
  readonly #console: Socket;
  readonly #log: ConsoleLog;
  #detached = false;

  constructor(parts: QemuControl, console: Socket, consoleLogPath: string) {
    this.pid = parts.pid;
    this.startTicks = parts.startTicks;
    this.qmp = parts.qmp;
    this.#console = console;
    this.#runDir = parts.runDir;
    this.guestSocketPath = vmSockets(parts.runDir).guest;
    this.#log = new ConsoleLog(console, consoleLogPath);
    this.exited = this.#watch(parts);
  }

  freeze(signal?: AbortSignal): Promise<Uint8Array> {
    return saveDevices(this.qmp, join(this.#runDir, 'freeze.sock'), signal);
  }

  async thaw(): Promise<void> {
    await endMigration(this.qmp);
    await this.qmp.execute('cont');
  }

  async pushLayer(path: string): Promise<void> {
    const { top } = await this.#layers();
    await this.qmp.execute('blockdev-add', { ...layerOptions(top + 1, path), backing: null });
    try {
      await this.qmp.execute('blockdev-snapshot', { node: layerNode(top), overlay: layerNode(top + 1) });
    } catch (error) {
      await this.qmp.execute('blockdev-del', { 'node-name': layerNode(top + 1) });
      throw error;
    }
  }

  async loading(): Promise<'done' | 'loading' | 'broken'> {
    const { status } = await this.qmp.execute('query-migrate');
    if (status === 'postcopy-active') return 'loading';
    return status === 'postcopy-paused' || status === 'postcopy-recover' ? 'broken' : 'done';
  }

  async topLayer(): Promise<string> {
    const { top, nodes } = await this.#layers();
    const node = nodes.find((candidate) => candidate['node-name'] === layerNode(top));
    if (node === undefined) throw new DormouseError('internal', 'the VM has no disk layer');
    return node.image.filename;
  }

  async #layers(): Promise<{ readonly top: number; readonly nodes: readonly BlockNode[] }> {
    const nodes = await this.qmp.execute('query-named-block-nodes', { flat: true });
    return { top: topmostLayer(nodes.map((node) => node['node-name'])), nodes };
  }

  moveConsoleLog(path: string): void {
    this.#log.moveTo(path);
  }

  async kill(): Promise<void> {
    await endProcess(this.pid, this.startTicks);
    this.qmp.close();
    this.#console.destroy();
  }

  detach(): void {
    this.#detached = true;
    this.qmp.close();
    this.#console.destroy();
  }

  async #watch(parts: QemuControl): Promise<VmExit> {
    await parts.qmp.closed;
    if (this.#detached) return await new Promise(() => {});
    return await processEnd(parts);
  }
}

/**
 * Ends a QEMU process at once and waits until it is gone.
 *
 * @throws DormouseError `internal` when it survives
 */
export async function endProcess(pid: number, startTicks: number): Promise<void> {
  if (!(await isSameProcess(pid, startTicks))) return;
  process.kill(pid, 'SIGKILL');
  if (await waitForDeath(pid, startTicks, KILL_TIMEOUT_MS)) return;
  throw new DormouseError('internal', `VM process ${pid} survived SIGKILL for ${KILL_TIMEOUT_MS} ms`);
}

/** The control connection has ended, which it does when the process does, for re-attached processes too. */
export async function processEnd(control: QemuControl): Promise<VmExit> {
  const { pid, startTicks } = control;
  if (!(await waitForDeath(pid, startTicks, EXIT_GRACE_MS))) await endProcess(pid, startTicks);
  const exit = await control.childExit;
  return { ...exit, log: await vmmLogTail(control.logDir) };
}

/** The last lines QEMU wrote about itself. */
export async function vmmLogTail(logDir: string): Promise<string> {
  const log = await readFile(join(logDir, VMM_LOG), 'utf8').catch(() => '');
  return log.slice(-VMM_LOG_TAIL_BYTES).trim();
}

/** Connects to the console socket, which exists from before the control connection answers. */
function connectConsole(runDir: string): Promise<Socket> {
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
