import { fromUnknown } from '@dormouse/errors';
import { removeUnusedImages } from '@dormouse/rootfs';
import type { GenerationStore, Manifest } from '@dormouse/snapshot';
import type { HostConfig } from '../config/host-config.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { DiskLayers } from '../disk/disk.js';
import type { SandboxLog } from '../environment.js';
import { generationsOf, type Journal } from '../records/journal.js';

/** Who may still ask for generations. */
export interface Roots {
  readonly journals: readonly Journal[];
  /** Of snapshots and frozen templates. */
  readonly generations: readonly string[];
  /** Of snapshots. */
  readonly specs: readonly SandboxSpec[];
}

/** The images that disks of sandboxes and generations lie on, or may come to lie on. */
export function imagesOf({ journals, specs }: Roots, manifests: readonly Manifest[]): ReadonlySet<string> {
  const backings = [
    ...journals.flatMap(({ disk }) => disk?.base ?? []),
    ...manifests.flatMap((one) => one.diskBacking ?? []),
  ];
  return new Set([
    ...[...journals.map(({ spec }) => spec), ...specs].map(({ imageId }) => imageId),
    ...backings.flatMap((backing) => (backing.kind === 'image' ? [backing.id] : [])),
  ]);
}

/** The generations that sandboxes, snapshots and templates refer to. */
export function rootsOf({ journals, generations }: Roots): ReadonlySet<string> {
  return new Set([...generations, ...journals.flatMap(generationsOf)]);
}

/** The layers that sandboxes have. */
export function layersOf(journals: readonly Journal[]): ReadonlySet<string> {
  return new Set(journals.flatMap(({ disk }) => disk?.layers ?? []));
}

/** How long a generation without a reference is kept. Nothing depends on it: a generation is pinned until its name is written down. */
const GRACE_MS = 30_000;

/** Removes what nobody can ask for any more: generations, disk layers, images. One call at a time. */
export class Collector {
  readonly #config: HostConfig;
  readonly #store: GenerationStore;
  readonly #layers: DiskLayers;
  readonly #log: SandboxLog;
  #running: Promise<void> | undefined;
  /** Journals that cannot be understood, and may refer to anything. */
  #unknown: readonly string[] = [];

  constructor(config: HostConfig, store: GenerationStore, layers: DiskLayers, log: SandboxLog) {
    this.#config = config;
    this.#store = store;
    this.#layers = layers;
    this.#log = log;
  }

  /** Removes nothing from now on: these directories hold journals that cannot be understood. */
  hold(unknown: readonly string[]): void {
    this.#unknown = unknown;
  }

  /** @param graceMs default 30 s */
  async collect(roots: () => Roots, graceMs: number = GRACE_MS): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    this.#running = this.#collect(roots, graceMs).finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async #collect(roots: () => Roots, graceMs: number): Promise<void> {
    if (this.#unknown.length > 0) {
      const broken = this.#unknown;
      this.#log.warn({ broken }, 'journals cannot be understood: nothing is removed until they are gone');
      return;
    }
    try {
      const { removed, blocked } = await this.#store.collect({ roots: () => rootsOf(roots()), graceMs });
      if (removed.length > 0) this.#log.info({ removed: removed.length }, 'removed generations nobody needs');
      if (blocked.length > 0)
        this.#log.warn({ blocked }, 'damaged generations are in use: nothing is removed');
      await this.#layers.sweep(() => layersOf(roots().journals));
      await this.#collectImages(roots);
    } catch (error) {
      this.#log.warn({ err: fromUnknown(error) }, 'collecting failed; it is tried again later');
    }
  }

  /** Assets that are kept elsewhere may be another host's as well, and nobody knows what that one uses. */
  async #collectImages(roots: () => Roots): Promise<void> {
    const { assetsDir, dataDir } = this.#config;
    if (assetsDir !== dataDir) return;
    // What comes to be meanwhile comes from a sandbox, whose journal names its image.
    const generations = await this.#store.list();
    // Manifests are read only when there is an image that no template has: hardly ever.
    const removed = await removeUnusedImages(assetsDir, () =>
      imagesOf(
        roots(),
        generations.map((id) => this.#store.read(id)),
      ),
    );
    if (removed.length > 0) this.#log.info({ removed }, 'removed images nobody needs');
  }
}
