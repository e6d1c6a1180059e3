import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@dormouse/errors';
import {
  createLayer,
  imagePath,
  type LayerBacking,
  readLayerHeader,
  syncDirectory,
  syncFile,
} from '@dormouse/rootfs';
import type { DiskBacking, GenerationStore } from '@dormouse/snapshot';
import type { VmUser } from '@dormouse/vmm';
import { type HostConfig, layersDir } from '../config/host-config.js';
import type { SandboxLog } from '../config/sandbox-log.js';

const SUFFIX = '.qcow2';
const LAYER_ID = /^ly[0-9a-f]{32}$/;
/** A file that should be a layer and is none, kept for an operator to look at. */
const DAMAGED_PREFIX = '.damaged-';

/** Whether a name is that of a layer's file. */
export function isLayerFile(name: string): boolean {
  return name.endsWith(SUFFIX) && LAYER_ID.test(name.slice(0, -SUFFIX.length));
}

/** A sandbox's disk: its own layers, the topmost first, on something that does not change. */
export interface Disk {
  /** Only the first is written to. There is more than one after a checkpoint that failed half-way. */
  readonly layers: readonly string[];
  readonly base: DiskBacking;
}

/**
 * The disk layers of a host. A layer keeps its path for as long as another may lie on it: the path stands in that
 * one's header. A frozen layer is a file of its generation too (a second name), and its name here goes when no
 * generation has it any more. Ids are secrets: VM users may open whatever layer they are told of.
 */
export class DiskLayers {
  readonly #config: HostConfig;
  readonly #store: GenerationStore;
  /** Made here, and not in a journal yet. */
  readonly #unrecorded = new Set<string>();
  /** Made here, and on their way to the disk: a power cut would still take them away. */
  readonly #syncing = new Map<string, Promise<void>>();

  constructor(config: HostConfig, store: GenerationStore) {
    this.#config = config;
    this.#store = store;
  }

  path(layer: string): string {
    return join(layersDir(this.#config), `${layer}${SUFFIX}`);
  }

  /** What the topmost layer of a disk lies on, or would if it had none. */
  basePath(base: DiskBacking): string {
    return base.kind === 'image'
      ? imagePath(this.#config.assetsDir, base.id)
      : this.#store.path(base.id, 'disk.qcow2');
  }

  /** A new, empty layer on a disk that does not change any more. */
  async onBase(base: DiskBacking, owner: VmUser | undefined): Promise<Disk> {
    const format = base.kind === 'image' ? 'raw' : 'qcow2';
    return { layers: [await this.#create({ path: this.basePath(base), format }, owner)], base };
  }

  /** A new, empty layer on top of a disk's topmost, which its VM may still be writing to. */
  async onTop(disk: Disk, sizeBytes: number, owner: VmUser | undefined): Promise<Disk> {
    const backing = { path: this.path(disk.layers[0]!), format: 'qcow2', sizeBytes } as const;
    return { layers: [await this.#create(backing, owner), ...disk.layers], base: disk.base };
  }

  /** Gives the topmost layer to the VM that is to write to it. */
  async own(disk: Disk, owner: VmUser | undefined): Promise<void> {
    const path = this.path(disk.layers[0]!);
    await chmod(path, 0o600);
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  }

  /** A name for a layer that its caller writes; `remove` it in the end. */
  newId(): string {
    const layer = `ly${randomBytes(16).toString('hex')}`;
    this.#unrecorded.add(layer);
    return layer;
  }

  /** Notes that a journal names the layers of a disk. */
  recorded(disk: Disk): void {
    for (const layer of disk.layers) this.#unrecorded.delete(layer);
  }

  /**
   * Resolves when all layers of a disk survive a power cut. A journal may name them from then on. Layers are on their
   * way to the disk from when they are made, so that hardly ever anything is left to wait for.
   */
  async sync(disk: Disk): Promise<void> {
    for (const layer of disk.layers) {
      const syncing = this.#syncing.get(layer);
      if (syncing === undefined) continue;
      try {
        await syncing;
        this.#syncing.delete(layer);
      } catch (error) {
        this.#startSync(layer);
        throw error;
      }
    }
  }

  /** Removes a layer that only its maker knows, or the name of a topmost layer, which no header names. */
  async remove(layer: string): Promise<void> {
    await rm(this.path(layer), { force: true });
    this.#unrecorded.delete(layer);
    this.#syncing.delete(layer);
  }

  /** Removes the topmost layer of a disk. Those below keep their names: headers name them. */
  async removeTop({ layers: [top] }: Disk): Promise<void> {
    if (top !== undefined) await this.remove(top);
  }

  /**
   * Removes what a disk has for itself: its topmost layer, and lower ones that no generation has. A lower layer that a
   * generation has keeps its name, which headers may name, until the generation is collected.
   */
  async discard(disk: Disk): Promise<void> {
    for (const [index, layer] of disk.layers.entries()) {
      if (index === 0 || (await this.#linksOf(layer)) === 1) await this.remove(layer);
    }
  }

  /**
   * The disk that was really written: a power cut can leave a file of zeros, or none, for a topmost layer that was made
   * right before it and never written to. Such a layer is dropped, and what it lay on is the disk, below a new layer
   * where none is left. A file that holds something else is set aside. Answers the same disk where all is well.
   */
  async withoutUnwritten(disk: Disk, log: SandboxLog): Promise<Disk> {
    const [top, ...rest] = disk.layers;
    if (top === undefined) return await this.onBase(disk.base, undefined);
    const header = await readLayerHeader(this.path(top));
    if (header.kind === 'layer') return disk;
    const problem = header.kind === 'damaged' ? header.problem : 'it was never written';
    log.warn({ layer: top, problem }, 'a disk layer is not used; the disk below it is');
    if (header.kind === 'damaged') {
      const aside = join(layersDir(this.#config), `${DAMAGED_PREFIX}${top}${SUFFIX}`);
      await rename(this.path(top), aside);
    }
    const below = rest.length === 0 ? await this.onBase(disk.base, undefined) : { ...disk, layers: rest };
    return await this.withoutUnwritten(below, log);
  }

  /** Which layer a file is, by the path a VMM reports. */
  layerAt(path: string): string | undefined {
    const layer = path.slice(layersDir(this.#config).length + 1, -SUFFIX.length);
    return LAYER_ID.test(layer) && this.path(layer) === path ? layer : undefined;
  }

  /**
   * Removes layers that neither a sandbox nor a generation has.
   *
   * @param used those that journals name; asked again for every layer, because a layer that is new to a journal is
   *   not {@link recorded} any less for having been listed before
   */
  async sweep(used: () => ReadonlySet<string>): Promise<void> {
    const dir = layersDir(this.#config);
    await mkdir(dir, { recursive: true, mode: 0o711 });
    for (const name of await readdir(dir)) {
      if (name.startsWith(DAMAGED_PREFIX)) continue;
      const layer = name.slice(0, -SUFFIX.length);
      const path = join(dir, name);
      try {
        const { nlink } = await stat(path);
        const isNobodys = nlink === 1 && !this.#unrecorded.has(layer) && !used().has(layer);
        if (isNobodys) await rm(path, { force: true });
      } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') throw error;
      }
    }
  }

  async #create(backing: LayerBacking, owner: VmUser | undefined): Promise<string> {
    const layer = this.newId();
    await mkdir(layersDir(this.#config), { recursive: true, mode: 0o711 });
    try {
      await createLayer(this.path(layer), backing, owner);
    } catch (error) {
      await this.remove(layer);
      throw error;
    }
    this.#startSync(layer);
    return layer;
  }

  #startSync(layer: string): void {
    const path = this.path(layer);
    const syncing = syncFile(path).then(() => syncDirectory(layersDir(this.#config)));
    syncing.catch(() => {});
    this.#syncing.set(layer, syncing);
  }

  /** How many names a layer has; 0 where the file is missing. */
  async #linksOf(layer: string): Promise<number> {
    try {
      return (await stat(this.path(layer))).nlink;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return 0;
      throw error;
    }
  }
}
