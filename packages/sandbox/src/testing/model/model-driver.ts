import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import {
  type CaptureJob,
  capture,
  type MemoryServer,
  type MemoryServers,
  type Served,
  type ServeJob,
} from '@dormouse/page-server';
import { openMemory } from '@dormouse/snapshot';
import type { MachineSpec, MicroVm, StandbyVm, VmDriver, VmExit, VmIdentity, VmSpec } from '@dormouse/vmm';
import { ModelVm } from './model-vm.js';

/** Beyond every process id of Linux: no process is ever found under it. */
const FIRST_PID = 5_000_000;
const PAGE_BYTES = 4096;

/** How moving the memory of a model goes wrong. */
export interface MemoryFaults {
  /** The next capture fails. */
  capture?: DormouseError | undefined;
  /** No memory server can be had. */
  acquire?: DormouseError | undefined;
  /** A page cannot be served after the guest runs. */
  serve?: DormouseError | undefined;
  /** Memory that is still missing does not come until this resolves. */
  until?: Promise<void> | undefined;
}

/**
 * VMs that are objects of this process, and what moves their memory. They outlive the host that has started them, as
 * processes do, so that a test can let a host agent die and open another one.
 */
export class ModelMachines implements VmDriver {
  readonly faults: MemoryFaults = {};
  readonly #byPid = new Map<number, ModelVm>();
  readonly #incoming = new Map<string, ModelVm>();
  #nextPid = FIRST_PID;

  /** VMs that run or stand still. */
  get alive(): readonly ModelVm[] {
    return [...this.#byPid.values()];
  }

  find(pid: number | undefined): ModelVm | undefined {
    return pid === undefined ? undefined : this.#byPid.get(pid);
  }

  async facts(): Promise<Readonly<Record<string, string>>> {
    return { vmm: 'model' };
  }

  async boot(spec: VmSpec): Promise<MicroVm> {
    return await this.#start(spec, spec.diskPath);
  }

  async standBy(spec: MachineSpec): Promise<StandbyVm> {
    let vm: ModelVm | undefined;
    let end: (exit: VmExit) => void = () => {};
    const exited = new Promise<VmExit>((resolve) => {
      end = resolve;
    });
    return {
      pid: this.#nextPid,
      startTicks: 1,
      exited,
      restore: async (life, incomingPath) => {
        try {
          vm = await this.#start(spec, life.diskPath);
        } catch (error) {
          throw new DormouseError('restore_failed', fromUnknown(error).message, { cause: error });
        }
        void vm.exited.then(end);
        this.#incoming.set(incomingPath, vm);
        return vm;
      },
      kill: async () => {
        await vm?.kill();
        end({ signal: 'SIGKILL', log: '' });
      },
    };
  }

  async attach({ pid }: VmIdentity): Promise<MicroVm | undefined> {
    const vm = this.#byPid.get(pid);
    if (vm?.faults.silent === true) throw new DormouseError('boot_failed', 'the model did not greet');
    return vm;
  }

  /** Memory servers of this process. */
  servers(): MemoryServers {
    return {
      counts: { idle: 0, busy: 0 },
      fill: async () => {},
      acquire: async () => {
        if (this.faults.acquire !== undefined) throw this.faults.acquire;
        return this.#server();
      },
      release: async () => {},
      close: async () => {},
    };
  }

  /** The power of the machine goes: all VMs end at once, and nothing learns of it. */
  cutPower(): void {
    for (const vm of this.alive) vm.end();
  }

  async #start(spec: MachineSpec, diskPath: string): Promise<ModelVm> {
    const pid = this.#nextPid++;
    truncateSync(spec.memoryPath, spec.memoryBytes);
    const identity = { pid, startTicks: 1, runDir: spec.runDir };
    const vm = await ModelVm.start(identity, spec.memoryPath, diskPath, () => this.#byPid.delete(pid));
    this.#byPid.set(pid, vm);
    return vm;
  }

  #server(): MemoryServer {
    return {
      capture: async (job: Omit<CaptureJob, 'kind'>) => {
        const { capture: failure } = this.faults;
        this.faults.capture = undefined;
        if (failure !== undefined) throw failure;
        return capture({ kind: 'capture', ...job });
      },
      serve: (job) => {
        const running = Promise.resolve().then(() => this.#load(job));
        const loaded = running.then(async (vm): Promise<Served> => {
          await this.faults.until;
          const { serve } = this.faults;
          this.faults.serve = undefined;
          vm.endLoading(serve === undefined ? 'done' : 'broken');
          if (serve !== undefined) throw serve;
          return NOTHING;
        });
        running.catch(() => {});
        loaded.catch(() => {});
        return { running: running.then(() => {}), loaded };
      },
      kill: async () => {},
    };
  }

  #load({ root, generationId, socketPath }: Omit<ServeJob, 'kind'>): ModelVm {
    const vm = this.#incoming.get(socketPath);
    this.#incoming.delete(socketPath);
    if (vm === undefined) throw new DormouseError('restore_failed', 'no model listens');
    using memory = openMemory({ root }, generationId);
    const file = openSync(vm.memoryPath, 'r+');
    try {
      for (let page = memory.nextPopulated(0); page !== -1; page = next(memory, page)) {
        const content = memory.read(page);
        if (content !== undefined) writeSync(file, content, 0, content.length, page * PAGE_BYTES);
      }
    } finally {
      closeSync(file);
    }
    vm.beginLoading(readFileSync(join(root, generationId, 'device.bin'), 'utf8'));
    return vm;
  }
}

function next(
  memory: { readonly pageCount: number; nextPopulated(page: number): number },
  page: number,
): number {
  return page + 1 < memory.pageCount ? memory.nextPopulated(page + 1) : -1;
}

const NOTHING: Served = {
  requests: 0,
  sentAhead: 0,
  pushed: 0,
  bytesSent: 0,
  untilRunningMs: 0,
  untilLoadedMs: 0,
  requestLatencyUs: { p50: 0, p95: 0, max: 0, sum: 0, counts: [] },
};
