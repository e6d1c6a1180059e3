import { randomUUID } from 'node:crypto';
import { fromUnknown } from '@dormouse/errors';
import type { Sandbox } from '../actor/sandbox.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import { checkRoom, type HostRoom, measureRoom, memoryLeft } from '../disk/capacity.js';
import type { SandboxEnvironment } from '../environment.js';
import type { ReadyKind, ReadyVm } from '../pools/ready-pool.js';
import { makeReady } from '../transitions/ready-vm.js';

const MIB = 1024 * 1024;

/** Promises the memory of a host to sandboxes, up to a limit. */
export class MemoryBudget {
  readonly #environment: SandboxEnvironment;
  readonly #list: () => readonly Sandbox[];
  /** Memory promised ahead, by sandbox. A sandbox that has memory meanwhile is counted once. */
  readonly #reserved = new Map<string, { readonly bytes: number; holders: number }>();

  /** @param list all sandboxes of the host */
  constructor(environment: SandboxEnvironment, list: () => readonly Sandbox[]) {
    this.#environment = environment;
    this.#list = list;
  }

  /** Room on this host and what may still be promised, in bytes. */
  async room(): Promise<HostRoom & { readonly memoryLeftBytes: number }> {
    const room = await this.#measure();
    return { ...room, memoryLeftBytes: memoryLeft(room, this.#promisedBytes()) };
  }

  /**
   * Promises memory to a sandbox, or refuses it. Sandboxes of the warm pool give way. The promise counts at once, so
   * that many requests together get no more than there is. Dispose it when the state of the sandbox says the same.
   *
   * @param id of the sandbox; equal ids are promised once
   * @throws DormouseError `no_capacity`, `no_space`
   */
  async reserve(id: string, spec: SandboxSpec): Promise<Disposable> {
    try {
      return await this.#reserve(id, spec, 0);
    } catch (error) {
      const { readyPool } = this.#environment;
      if (readyPool.memoryMb === 0) throw error;
      await readyPool.drain();
      return await this.#reserve(id, spec, 0);
    }
  }

  /** Makes a guest that waits for somebody to want it, if there is room besides all others. */
  async makeReady(kind: ReadyKind, signal: AbortSignal): Promise<ReadyVm> {
    const { readyPool, log } = this.#environment;
    try {
      using _reserved = await this.#reserve(randomUUID(), kind.spec, readyPool.memoryMb * MIB);
      return await makeReady(this.#environment, kind, signal);
    } catch (thrown) {
      const error = fromUnknown(thrown);
      if (error.code !== 'cancelled') log.warn({ err: error }, 'could not refill the warm pool');
      throw error;
    }
  }

  async #reserve(id: string, spec: SandboxSpec, besidesBytes: number): Promise<Disposable> {
    const room = await this.#measure();
    const bytes = spec.memoryMb * MIB;
    // Checked and promised without a pause in between.
    const reservation = this.#reserved.get(id) ?? { bytes, holders: 0 };
    if (reservation.holders === 0) checkRoom(room, this.#promisedBytes() + besidesBytes, bytes);
    reservation.holders += 1;
    this.#reserved.set(id, reservation);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        reservation.holders -= 1;
        if (reservation.holders === 0) this.#reserved.delete(id);
      },
    };
  }

  #measure(): Promise<HostRoom> {
    const { memoryDir, dataDir } = this.#environment.config;
    return measureRoom(memoryDir, dataDir);
  }

  #promisedBytes(): number {
    const alive = this.#list().filter(({ id, holdsMemory }) => holdsMemory && !this.#reserved.has(id));
    const reserved = [...this.#reserved.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    return alive.reduce((sum, { spec }) => sum + spec.memoryMb * MIB, reserved);
  }
}
