import type { Accelerator, StandbyVm, VmDriver } from '@dormouse/vmm';
import { everyStep } from '../concurrency/every-step.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import { machineSpec } from '../vm/machine.js';
import type { VmSlot, VmSlots } from '../vm/vm-slots.js';

/** What a process that waits must have in common with the VM it is for. */
export type Shape = Pick<SandboxSpec, 'vcpus' | 'memoryMb' | 'internet' | 'diskBytes'>;

/** A VM process that waits for a saved VM, in a place of its own. */
export interface Standby {
  readonly slot: VmSlot;
  readonly vm: StandbyVm;
}

interface Waiting extends Standby {
  readonly shape: string;
  isOver: boolean;
}

/** What the pool starts processes with. */
export interface StandbyOptions {
  readonly driver: VmDriver;
  readonly accelerator: Accelerator;
  readonly slots: VmSlots;
  /** How many processes wait, of the shape that was asked for last. */
  readonly size: number;
  /** Receives what has kept a process that is not needed from being ended. Default: it is dropped. */
  readonly onProblem?: (error: unknown) => void;
}

/** VM processes that wait for a saved VM, so that nobody waits for a process to start. */
export class StandbyPool {
  readonly #options: StandbyOptions;
  readonly #waiting: Waiting[] = [];
  #wanted: Shape | undefined;
  #filling: Promise<void> | undefined;
  #closed = false;

  constructor(options: StandbyOptions) {
    this.#options = options;
  }

  /** A process for a VM of this shape. Whoever takes it owns it, with its place. @throws DormouseError `boot_failed` */
  async take(shape: Shape, signal?: AbortSignal): Promise<Standby> {
    this.#wanted = shape;
    const index = this.#waiting.findIndex((one) => one.shape === keyOf(shape) && !one.isOver);
    const [found] = index < 0 ? [] : this.#waiting.splice(index, 1);
    return found ?? (await this.#start(shape, signal));
  }

  /** Has as many processes wait as shall, of the given shape or the last one asked for. Others go. Never rejects. */
  refill(shape?: Shape): Promise<void> {
    this.#wanted = shape ?? this.#wanted;
    this.#filling ??= this.#fill().finally(() => {
      this.#filling = undefined;
    });
    return this.#filling;
  }

  /** Ends all that waits. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#filling;
    await Promise.all(this.#waiting.splice(0).map((one) => this.#endQuietly(one)));
  }

  /** Process ids of those that wait. */
  get pids(): readonly number[] {
    return this.#waiting.map(({ vm }) => vm.pid);
  }

  async #fill(): Promise<void> {
    for (;;) {
      const shape = this.#wanted;
      if (this.#closed || shape === undefined) return;
      const stale = this.#waiting.filter((one) => one.isOver || one.shape !== keyOf(shape));
      for (const one of stale) {
        this.#waiting.splice(this.#waiting.indexOf(one), 1);
        await this.#endQuietly(one);
      }
      if (this.#waiting.length >= this.#options.size) return;
      // A host that cannot start one now says so to the next who needs one.
      const standby = await this.#start(shape).catch(() => undefined);
      if (standby === undefined) return;
      const one: Waiting = { ...standby, shape: keyOf(shape), isOver: false };
      void standby.vm.exited.then(() => {
        one.isOver = true;
      });
      this.#waiting.push(one);
    }
  }

  async #start(shape: Shape, signal?: AbortSignal): Promise<Standby> {
    const { slots, driver } = this.#options;
    const slot = await slots.take();
    try {
      const spec = { ...machineSpec(this.#options, shape, slot), diskBytes: shape.diskBytes };
      return { slot, vm: await driver.standBy(spec, signal) };
    } catch (error) {
      await slots.release(slot);
      throw error;
    }
  }

  async #endQuietly({ vm, slot }: Standby): Promise<void> {
    const { slots, onProblem } = this.#options;
    await everyStep(
      () => vm.kill(),
      () => slots.release(slot),
    ).catch((error: unknown) => onProblem?.(error));
  }
}

function keyOf({ vcpus, memoryMb, internet, diskBytes }: Shape): string {
  return [vcpus, memoryMb, internet, diskBytes].join();
}
