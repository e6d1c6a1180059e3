import { fromUnknown } from '@dormouse/errors';
import type { Sandbox } from '../actor/sandbox.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import { checkRoom, type HostRoom, measureRoom, memoryLeft } from '../disk/capacity.js';
import type { SandboxEnvironment } from '../environment.js';
import type { ReadyKind, ReadyVm } from '../pools/ready-pool.js';
import { makeReady } from '../transitions/ready-vm.js';

const MIB = 1024 * 1024;

/** What memory of a host has been promised to whom, and what is left. */
export class MemoryBudget {
  readonly #environment: SandboxEnvironment;
  readonly #list: () => readonly Sandbox[];

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
   * Refuses what there is no room for. What only waits gives way to what somebody wants.
   *
   * @throws DormouseError `no_capacity`, `no_space`
   */
  async require(spec: SandboxSpec): Promise<void> {
    try {
      await this.#require(spec, 0);
    } catch (error) {
      const { readyPool } = this.#environment;
      if (readyPool.memoryMb === 0) throw error;
      await readyPool.drain();
      await this.#require(spec, 0);
    }
  }

  /** Makes a guest that waits for somebody to want it, if there is room besides all others. */
  async makeReady(kind: ReadyKind, signal: AbortSignal): Promise<ReadyVm> {
    const { readyPool, log } = this.#environment;
    try {
      await this.#require(kind.spec, readyPool.memoryMb * MIB);
      return await makeReady(this.#environment, kind, signal);
    } catch (thrown) {
      const error = fromUnknown(thrown);
      if (error.code !== 'cancelled') log.warn({ err: error }, 'no sandbox waits for somebody to want one');
      throw error;
    }
  }

  async #require(spec: SandboxSpec, besidesBytes: number): Promise<void> {
    checkRoom(await this.#measure(), this.#promisedBytes() + besidesBytes, spec.memoryMb * MIB);
  }

  #measure(): Promise<HostRoom> {
    const { memoryDir, dataDir } = this.#environment.config;
    return measureRoom(memoryDir, dataDir);
  }

  #promisedBytes(): number {
    const alive = this.#list().filter((sandbox) => sandbox.holdsMemory);
    return alive.reduce((sum, { spec }) => sum + spec.memoryMb * MIB, 0);
  }
}
