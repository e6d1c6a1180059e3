import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@dormouse/errors';
import { createLayer, imagePath, type LayerBacking } from '@dormouse/rootfs';
import type { DiskBacking, GenerationStore } from '@dormouse/snapshot';
import type { VmUser } from '@dormouse/vmm';
import { type HostConfig, layersDir } from '../config/host-config.js';

const SUFFIX = '.qcow2';
const LAYER_ID = /^ly[0-9a-f]{32}$/;

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

  /** A name for a layer that somebody else writes; `remove` it in the end. */
  newId(): string {
    const layer = `ly${randomBytes(16).toString('hex')}`;
    this.#unrecorded.add(layer);
    return layer;
  }

  /** Notes that a journal names the layers of a disk. */
  recorded(disk: Disk): void {
    for (const layer of disk.layers) this.#unrecorded.delete(layer);
  }

  /** Removes layers that are no longer used under this name. */
  async remove(layers: readonly string[]): Promise<void> {
    for (const layer of layers) {
      await rm(this.path(layer), { force: true });
      this.#unrecorded.delete(layer);
    }
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
    await createLayer(this.path(layer), backing, owner);
    return layer;
  }
}
