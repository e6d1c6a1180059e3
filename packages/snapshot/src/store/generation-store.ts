import { renameSync, statSync } from 'node:fs';
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { reachable, removalOrder } from '../collection/reachable.js';
import { storageError, subjectOf } from '../errors.js';
import { GENERATION_ID, newGenerationId } from '../generation-id.js';
import { encodeWorkingSet, WORKING_SET } from '../working-set/working-set-codec.js';
import type { DiskFormat } from './disk-backing.js';
import { DiskStamps } from './disk-stamp.js';
import { GenerationDraft } from './draft.js';
import { DRAFT_PREFIX, draftName, isOrphan } from './draft-owner.js';
import { type DurableFs, REAL_FS } from './durable-fs.js';
import type { Manifest } from './manifest.js';
import { artifactPath, readManifest } from './read-generation.js';
import { type VerifyOptions, verifyGeneration } from './verify-generation.js';

/** Names below the root are capabilities: whoever is told one may enter, nobody else may list them. */
const ROOT_MODE = 0o711;
const DELETING_PREFIX = '.deleting-';
/** Manifests read before others get their turn on the event loop. */
const READS_A_TURN = 64;

/** Named moments of a collection. */
export type CollectStep = 'manifests-read' | 'victims-renamed' | 'victim-removed' | 'swept';

export interface StoreOptions {
  /** Default: the real file system. */
  readonly fs?: DurableFs;
  /** Milliseconds since 1970. Default: the clock. */
  readonly now?: () => number;
  /** How disk layers name what they lie on. Default: headers of layers are not held against manifests. */
  readonly format?: DiskFormat;
  /** Receives what went wrong after a commit could no longer be taken back. Default: it is dropped. */
  readonly onProblem?: (error: unknown) => void;
}

export interface CollectOptions {
  /** Generations that somebody can still ask for, as of the moment when it is decided. What these need stays too. */
  readonly roots: () => Iterable<string>;
  /** How old a generation must be before it may go: time for its maker to write its name down. */
  readonly graceMs: number;
  readonly onStep?: (step: CollectStep) => void | Promise<void>;
}

export interface Collected {
  /** What has gone, in order. */
  readonly removed: readonly string[];
  /** Roots that do not exist. */
  readonly missing: readonly string[];
  /** Generations in use whose manifests cannot be read, so that nobody knows what they need: nothing was removed. */
  readonly blocked: readonly string[];
}

export interface GenerationSizes {
  /** Bytes of its artifacts. */
  readonly ownBytes: number;
  /** The same with everything it needs, which others may need as well. */
  readonly totalBytes: number;
}

/** Keeps a generation, and what it needs, from being collected until it is disposed. */
export interface Pin extends Disposable {
  readonly id: string;
}

/**
 * The generations of a host, below one directory that one process at a time collects. Readers only see what is
 * committed; a committed generation never changes, apart from its working set.
 */
export class GenerationStore {
  readonly root: string;
  readonly #fs: DurableFs;
  readonly #now: () => number;
  readonly #stamps: DiskStamps;
  readonly #format: DiskFormat | undefined;
  readonly #onProblem: (error: unknown) => void;
  /** Verifications under way, by what they verify. */
  readonly #verifying = new Map<string, Promise<Manifest>>();
  readonly #pins = new Map<string, number>();
  /** Manifests read for collecting; they do not change. */
  readonly #manifests = new Map<string, Manifest>();
  /** Grows with every commit, so that a collection notices one while it reads. */
  #commits = 0;
  /** Ends when the collection that was asked for last has ended. */
  #collecting: Promise<unknown> = Promise.resolve();

  private constructor(root: string, options: StoreOptions) {
    this.root = root;
    this.#fs = options.fs ?? REAL_FS;
    this.#now = options.now ?? Date.now;
    this.#stamps = new DiskStamps(root);
    this.#format = options.format;
    this.#onProblem = options.onProblem ?? (() => {});
  }

  /** Opens the store, making it where there is none, and removes what dead processes have left half made or half gone. */
  static async open(root: string, options: StoreOptions = {}): Promise<GenerationStore> {
    await mkdir(root, { recursive: true });
    await chmod(root, ROOT_MODE);
    for (const name of await readdir(root)) {
      const leftover = name.startsWith(DELETING_PREFIX) || (name.startsWith(DRAFT_PREFIX) && isOrphan(name));
      if (leftover) await rm(join(root, name), { recursive: true, force: true });
    }
    const store = new GenerationStore(root, options);
    const committed = new Set(await store.list());
    await store.#stamps.prune((id) => committed.has(id));
    return store;
  }

  /** Ids of all committed generations, sorted. */
  async list(): Promise<string[]> {
    return (await readdir(this.root)).filter((name) => GENERATION_ID.test(name)).toSorted();
  }

  /**
   * Begins a generation.
   *
   * @param parents generations it refers to, which stay as long as it is not ended
   * @throws DormouseError `not_found`: a parent does not exist; `no_space`
   */
  async begin(parents: Iterable<string> = []): Promise<GenerationDraft> {
    const pins: Pin[] = [];
    const release = () => {
      for (const pin of pins) pin[Symbol.dispose]();
    };
    try {
      for (const parent of parents) pins.push(this.pin(parent));
      const id = newGenerationId();
      const directory = join(this.root, draftName(id));
      await mkdir(directory, { mode: 0o700 });
      return new GenerationDraft(id, directory, this.root, {
        fs: this.#fs,
        now: this.#now,
        stamps: this.#stamps,
        format: this.#format,
        hold: (generation) => pins.push(this.pin(generation)),
        committed: (manifest) => {
          this.#commits += 1;
          this.#manifests.set(manifest.id, manifest);
          pins.push(this.pin(manifest.id));
        },
        released: release,
        problem: this.#onProblem,
      });
    } catch (error) {
      release();
      throw storageError('beginning a generation', error);
    }
  }

  /** The manifest of a generation, verified. @throws DormouseError `not_found`, `snapshot_corrupt` */
  read(id: string): Manifest {
    return readManifest(this, id);
  }

  /** Where a file of a generation is: what a VM's disk layer refers to, for example. */
  path(id: string, name: string): string {
    return artifactPath(this, id, name);
  }

  /** Verifies all that a restore of the generation would use; see `verifyGeneration`. Equal calls join. */
  verify(id: string, options: VerifyOptions = {}): Promise<Manifest> {
    const { deep = false, diskOnly = false, signal } = options;
    const disks = { stamps: this.#stamps, format: this.#format };
    if (signal !== undefined) return verifyGeneration(this, disks, id, options);
    const key = `${id} ${deep} ${diskOnly}`;
    const verifying =
      this.#verifying.get(key) ??
      verifyGeneration(this, disks, id, options).finally(() => this.#verifying.delete(key));
    this.#verifying.set(key, verifying);
    return verifying;
  }

  /** Keeps a generation and all it needs. @throws DormouseError `not_found` */
  pin(id: string): Pin {
    if (!this.#exists(id)) throw new DormouseError('not_found', `generation ${id} does not exist`);
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
    let held = true;
    return {
      id,
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const count = this.#pins.get(id)! - 1;
        if (count === 0) this.#pins.delete(id);
        else this.#pins.set(id, count);
      },
    };
  }

  /**
   * Replaces what a restore of the generation sends ahead, atomically. A power cut may bring the old set back.
   *
   * @throws DormouseError `not_found`; `no_space`
   */
  async replaceWorkingSet(id: string, pages: readonly number[]): Promise<void> {
    using _pin = this.pin(id);
    const temporary = join(this.root, draftName(`${WORKING_SET}-${newGenerationId()}`));
    try {
      await this.#fs.writeFile(temporary, encodeWorkingSet(id, pages), 0o600);
      await this.#fs.syncFile(temporary);
      await this.#fs.rename(temporary, this.path(id, WORKING_SET));
    } catch (error) {
      await rm(temporary, { force: true });
      throw storageError(`writing ${subjectOf(WORKING_SET, id)}`, error);
    }
  }

  /** How much room a generation takes. @throws DormouseError `not_found`, `snapshot_corrupt` */
  sizes(id: string): GenerationSizes {
    const graph = new Map<string, Manifest>();
    const found = [id];
    for (let next = found.pop(); next !== undefined; next = found.pop()) {
      if (graph.has(next)) continue;
      const manifest = this.read(next);
      graph.set(next, manifest);
      found.push(...reachable([next], new Map([[next, manifest]])));
    }
    const totalBytes = [...graph.values()].reduce((sum, { ownBytes }) => sum + ownBytes, 0);
    return { ownBytes: graph.get(id)!.ownBytes, totalBytes };
  }

  /** How many generations there are, and how much room those take that can be read. */
  async totals(): Promise<{ readonly count: number; readonly bytes: number }> {
    const ids = [...(await this.#readAll()).keys()];
    const bytes = ids.reduce((sum, id) => sum + (this.#manifests.get(id)?.ownBytes ?? 0), 0);
    return { count: ids.length, bytes };
  }

  /**
   * Removes generations that nothing needs: not the roots, not what is pinned, not what is younger than the grace
   * period. Each is renamed first, so that nobody sees half of it; what a crash leaves goes with the next `open`.
   * One collection at a time: another waits.
   */
  collect(options: CollectOptions): Promise<Collected> {
    const collected = this.#collecting.then(() => this.#collect(options));
    this.#collecting = collected.catch(() => {});
    return collected;
  }

  async #collect(options: CollectOptions): Promise<Collected> {
    let ages: Map<string, number>;
    let commits: number;
    do {
      commits = this.#commits;
      ages = await this.#readAll();
      await options.onStep?.('manifests-read');
    } while (commits !== this.#commits);
    // From here to the last rename nothing else of this process runs, so nothing is named, pinned or committed in between.
    const roots = [...options.roots()];
    const { victims, blocked } = this.#mark(roots, ages, this.#now() - options.graceMs);
    const missing = roots.filter((id) => !ages.has(id));
    for (const id of victims) {
      renameSync(join(this.root, id), join(this.root, DELETING_PREFIX + id));
      this.#manifests.delete(id);
    }
    await options.onStep?.('victims-renamed');
    for (const id of victims) {
      await rm(join(this.root, DELETING_PREFIX + id), { recursive: true, force: true });
      await this.#stamps.remove(id);
      await options.onStep?.('victim-removed');
    }
    await options.onStep?.('swept');
    return { removed: victims, missing, blocked };
  }

  #exists(id: string): boolean {
    return GENERATION_ID.test(id) && statSync(join(this.root, id), { throwIfNoEntry: false }) !== undefined;
  }

  #mark(
    roots: readonly string[],
    ages: ReadonlyMap<string, number>,
    youngest: number,
  ): { victims: string[]; blocked: string[] } {
    const young = [...ages].filter(([, createdAt]) => createdAt > youngest).map(([id]) => id);
    const needed = reachable([...roots, ...this.#pins.keys(), ...young], this.#manifests);
    const blocked = [...needed].filter((id) => ages.has(id) && !this.#manifests.has(id));
    if (blocked.length > 0) return { victims: [], blocked };
    const unneeded = [...ages.keys()].filter((id) => !needed.has(id));
    return { victims: removalOrder(unneeded, this.#manifests), blocked };
  }

  /** Reads every manifest that is not known yet; answers when each generation was made. */
  async #readAll(): Promise<Map<string, number>> {
    const ages = new Map<string, number>();
    for (const [index, id] of (await this.list()).entries()) {
      if (index % READS_A_TURN === READS_A_TURN - 1) await setImmediate();
      ages.set(id, this.#createdAt(id));
    }
    return ages;
  }

  #createdAt(id: string): number {
    try {
      const manifest = this.#manifests.get(id) ?? this.read(id);
      this.#manifests.set(id, manifest);
      return Date.parse(manifest.createdAt);
    } catch (error) {
      if (!(error instanceof DormouseError) && systemErrorCode(error) === undefined) throw error;
      // Unreadable: its age is that of its directory, and what it needs is not known.
      return statSync(join(this.root, id), { throwIfNoEntry: false })?.ctimeMs ?? 0;
    }
  }
}
