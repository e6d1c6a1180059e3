import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { readLayerHeader } from '@dormouse/rootfs';
import type { MicroVm, VmExit } from '@dormouse/vmm';
import { ModelGuest } from './model-guest.js';

const PAGE_BYTES = 4096;
/** The page of guest memory that a model VM writes. */
const PAGE = 7;
/** Layers made for the disk of these tests have four clusters; what a VM writes comes behind them. */
const LAYER_BYTES = 4 * 65_536;

/** What a guest remembers: the same in its memory, in its devices and on its disk. */
export interface Content {
  readonly memory: string;
  readonly devices: string;
  readonly disk: string;
}

/** An open disk layer. */
interface OpenLayer {
  readonly path: string;
  readonly fd: number;
}

/** What can go wrong with a model VM. */
export interface ModelFaults {
  /** The VMM does not answer. */
  silent?: boolean;
  /** `pushLayer` fails: before anything has happened, or after it. */
  push?: 'before' | 'after' | undefined;
  /** The VM cannot be frozen. */
  freeze?: boolean;
  /** The host agent that holds the VM is dead: nothing that it still does reaches the VM. */
  orphaned?: boolean;
}

/**
 * A VM without a processor: it writes into its memory file and its topmost disk layer what a guest would, and reads its
 * disk through the headers of its layers, as a VMM does. Files it has open stay its own when their names go.
 */
export class ModelVm implements MicroVm {
  readonly pid: number;
  readonly startTicks: number;
  readonly guestSocketPath: string;
  readonly memoryPath: string;
  readonly exited: Promise<VmExit>;
  readonly faults: ModelFaults = {};
  readonly #guest: ModelGuest;
  readonly #layers: OpenLayer[];
  readonly #memory: number;
  readonly #onExit: () => void;
  #end: (exit: VmExit) => void = () => {};
  #devices: string;
  #runs = true;
  #alive = true;
  #loading: 'done' | 'loading' | 'broken' = 'done';

  private constructor(
    identity: { readonly pid: number; readonly startTicks: number; readonly runDir: string },
    memoryPath: string,
    layers: OpenLayer[],
    devices: string,
    onExit: () => void,
  ) {
    this.pid = identity.pid;
    this.startTicks = identity.startTicks;
    this.guestSocketPath = join(identity.runDir, 'guest.sock');
    this.memoryPath = memoryPath;
    this.#layers = layers;
    this.#devices = devices;
    this.#memory = openSync(memoryPath, 'r+');
    this.#onExit = onExit;
    this.#guest = new ModelGuest(this.guestSocketPath, () => this.#runs);
    this.exited = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Opens the disk by its topmost layer. @throws DormouseError `boot_failed` when a part of the chain is missing */
  static async start(
    identity: { readonly pid: number; readonly startTicks: number; readonly runDir: string },
    memoryPath: string,
    diskPath: string,
    onExit: () => void,
  ): Promise<ModelVm> {
    const vm = new ModelVm(identity, memoryPath, await openChain(diskPath), '', onExit);
    await vm.#guest.listen();
    return vm;
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  get runs(): boolean {
    return this.#alive && this.#runs;
  }

  /** What the guest does: it remembers one word more, in every place. */
  remember(word: string): void {
    if (!this.runs) throw new Error('a VM that stands still does nothing');
    const { memory } = this.content();
    const page = Buffer.alloc(PAGE_BYTES);
    page.write(`${memory}${word} `);
    writeSync(this.#memory, page, 0, page.length, PAGE * PAGE_BYTES);
    this.#devices += `${word} `;
    const { fd } = this.#layers[0]!;
    writeSync(fd, `${word} `, Math.max(LAYER_BYTES, fstatSync(fd).size));
  }

  /** What the guest remembers, each place read as the guest would. */
  content(): Content {
    const page = Buffer.alloc(PAGE_BYTES);
    readSync(this.#memory, page, 0, page.length, PAGE * PAGE_BYTES);
    const memory = page.toString().replaceAll('\0', '');
    const disk = this.#layers.toReversed().map(wordsOf).join('');
    return { memory, devices: this.#devices, disk };
  }

  /** A restore begins: the guest runs before all of its memory is there. */
  beginLoading(devices: string): void {
    this.#devices = devices;
    this.#loading = 'loading';
  }

  endLoading(how: 'done' | 'broken'): void {
    this.#loading = how;
  }

  freeze(): Promise<Uint8Array> {
    return this.#answer(() => {
      this.#runs = false;
      if (this.faults.freeze === true) throw new DormouseError('pause_failed', 'the model cannot be frozen');
      return Buffer.from(this.#devices);
    });
  }

  thaw(): Promise<void> {
    return this.#answer(() => {
      this.#runs = true;
      this.#guest.resume();
    });
  }

  pushLayer(path: string): Promise<void> {
    return this.#answer(() => {
      if (this.faults.push === 'before') throw new DormouseError('timeout', 'the model takes no layer');
      this.#layers.unshift({ path, fd: openSync(path, 'r+') });
      if (this.faults.push === 'after')
        throw new DormouseError('timeout', 'the model does not say that it has it');
    });
  }

  loading(): Promise<'done' | 'loading' | 'broken'> {
    return this.#answer(() => this.#loading);
  }

  topLayer(): Promise<string> {
    return this.#answer(() => this.#layers[0]!.path);
  }

  moveConsoleLog(): void {}

  async kill(): Promise<void> {
    if (this.faults.orphaned !== true) this.end('SIGKILL');
  }

  /** The process ends, as of itself. */
  end(signal = 'SIGSEGV'): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#runs = false;
    this.#guest.close();
    for (const { fd } of this.#layers) closeSync(fd);
    closeSync(this.#memory);
    this.#onExit();
    this.#end({ signal, log: '' });
  }

  detach(): void {}

  async #answer<T>(act: () => T): Promise<T> {
    if (!this.#alive) throw new DormouseError('guest_unreachable', 'the model has ended');
    if (this.faults.orphaned === true) throw new DormouseError('cancelled', 'the host agent is dead');
    if (this.faults.silent === true) throw new DormouseError('timeout', 'the model does not answer');
    return act();
  }
}

async function openChain(topPath: string): Promise<OpenLayer[]> {
  const layers: OpenLayer[] = [];
  try {
    for (let path: string | undefined = topPath; path?.endsWith('.qcow2') === true; ) {
      layers.push({ path, fd: openSync(path, layers.length === 0 ? 'r+' : 'r') });
      const header = await readLayerHeader(path);
      if (header.kind !== 'layer') throw new Error(`${path} is no layer`);
      path = header.backingPath;
    }
    return layers;
  } catch (cause) {
    for (const { fd } of layers) closeSync(fd);
    throw new DormouseError('boot_failed', `the model cannot open its disk: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function wordsOf({ fd }: OpenLayer): string {
  const length = Math.max(0, fstatSync(fd).size - LAYER_BYTES);
  const words = Buffer.alloc(length);
  readSync(fd, words, 0, length, LAYER_BYTES);
  return words.toString();
}
