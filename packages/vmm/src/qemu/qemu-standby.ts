import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { MicroVm, StandbyVm, VmExit, VmLife } from '../micro-vm.js';
import { HOLLOW_NODE, layerNode, layerOptions, rootOptions } from './arguments.js';
import { adopt, endProcess, processEnd, type QemuControl } from './qemu-vm.js';

/** A QEMU process started with `-incoming defer`: devices are there, the disk is hollow, memory is empty. */
export class QemuStandby implements StandbyVm {
  readonly pid: number;
  readonly startTicks: number;
  readonly exited: Promise<VmExit>;
  readonly #control: QemuControl;
  #vm: MicroVm | undefined;

  constructor(control: QemuControl) {
    this.#control = control;
    this.pid = control.pid;
    this.startTicks = control.startTicks;
    // Once it is a VM, only that one knows whether the connection ended because somebody let go of it.
    this.exited = control.qmp.closed.then(() => this.#vm?.exited ?? processEnd(control));
  }

  async restore(life: VmLife, incomingPath: string): Promise<MicroVm> {
    const { qmp } = this.#control;
    try {
      await qmp.execute('blockdev-add', layerOptions(0, life.diskPath));
      await qmp.execute('blockdev-reopen', { options: [rootOptions(layerNode(0))] });
      await qmp.execute('blockdev-del', { 'node-name': HOLLOW_NODE });
      await qmp.execute('migrate-incoming', { uri: `unix:${incomingPath}` });
      this.#vm = await adopt(this.#control, life);
      return this.#vm;
    } catch (thrown) {
      const error = fromUnknown(thrown);
      throw new DormouseError('restore_failed', `the VM cannot be restored: ${error.message}`, {
        cause: error,
      });
    }
  }

  async kill(): Promise<void> {
    await endProcess(this.pid, this.startTicks);
    this.#control.qmp.close();
  }
}
