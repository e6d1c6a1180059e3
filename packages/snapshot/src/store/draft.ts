import { chmod, chown, constants, copyFile, link, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { corrupt, storageError, subjectOf } from '../errors.js';
import type { CaptureTarget } from '../memory/capture.js';
import type { PageCounts } from '../page-map/memory-diff.js';
import { decodePageMap } from '../page-map/page-map-codec.js';
import { encodeWorkingSet, WORKING_SET } from '../working-set/working-set-codec.js';
import { recordOf } from './artifact-hash.js';
import { type DiskFormat, requireBacking } from './disk-backing.js';
import type { DiskStamps } from './disk-stamp.js';
import type { DurableFs } from './durable-fs.js';
import type { MachineFacts } from './machine.js';
import {
  ARTIFACTS,
  type ArtifactName,
  type ArtifactRecord,
  type DiskBacking,
  dependencies,
  encodeManifest,
  MANIFEST,
  type Manifest,
  type MemoryRecord,
  requiredArtifacts,
} from './manifest.js';

/** Who knows a generation's id may reach its disk layer; nobody lists its directory. */
const DIRECTORY_MODE = 0o711;
const PRIVATE_MODE = 0o600;
/** VM processes with users of their own read it as the backing of their layers; nobody writes to it any more. */
const DISK_MODE = 0o444;

/** How often the store's directory is synced before a commit goes on without. */
const SYNC_ATTEMPTS = 3;

/** Named moments of a commit, in order. Before `renamed` there is no new generation, from then on there is. */
export type CommitStep =
  | 'artifacts-hashed'
  | 'manifest-written'
  | 'files-synced'
  | 'directory-synced'
  | 'renamed'
  | 'committed';

/** What only the caller knows of the generation. */
export interface GenerationFacts {
  readonly kind: Manifest['kind'];
  readonly parent?: string;
  readonly diskBacking?: DiskBacking;
  readonly machine: MachineFacts;
  /** As captured; needed for `full`. */
  readonly counts?: PageCounts;
}

export interface CommitOptions {
  /**
   * Called once the generation exists. It is not collected before this has ended, so this is the time to write its name
   * down. What this throws `commit` throws; the generation stays, for the collector.
   */
  readonly onCommitted?: (manifest: Manifest) => Promise<void>;
  readonly onStep?: (step: CommitStep) => void | Promise<void>;
}

/** What the store lends a draft. */
export interface DraftHost {
  readonly fs: DurableFs;
  readonly now: () => number;
  readonly stamps: DiskStamps;
  readonly format: DiskFormat | undefined;
  /** Keeps a generation until `released`. @throws DormouseError `not_found` */
  hold(generationId: string): void;
  /** There is a new generation, kept until `released`. */
  committed(manifest: Manifest): void;
  /** The draft is committed or gone: what it held may be collected. */
  released(): void;
  /** Reports what went wrong after the commit could no longer be taken back. */
  problem(error: unknown): void;
}

/** Names a draft accepts. */
export type DraftFile = ArtifactName | typeof WORKING_SET;

/**
 * A generation that is being made: a directory nobody else looks at. Ends with `commit` or `abandon`; disposing
 * abandons what was not committed.
 */
export class GenerationDraft implements AsyncDisposable {
  readonly id: string;
  /** Where its files are while it is made. */
  readonly directory: string;
  /** Where they will be once it is committed. */
  readonly finalDirectory: string;
  readonly #host: DraftHost;
  #state: 'open' | 'renamed' | 'ended' = 'open';

  constructor(id: string, directory: string, root: string, host: DraftHost) {
    this.id = id;
    this.directory = directory;
    this.finalDirectory = join(root, id);
    this.#host = host;
  }

  /** Where a capture writes to; plain data, so that another process can be told. */
  get captureTarget(): CaptureTarget {
    return { id: this.id, pagesPath: this.path('memory.pages'), mapPath: this.path('memory.map') };
  }

  path(name: DraftFile): string {
    return join(this.directory, name);
  }

  /** Puts in what a restore should send ahead, in that order. */
  async writeWorkingSet(pages: readonly number[]): Promise<void> {
    await this.write(WORKING_SET, encodeWorkingSet(this.id, pages));
  }

  /** @throws DormouseError `no_space`: the disk is full */
  async write(name: DraftFile, content: Uint8Array): Promise<void> {
    await this.#attempt(`writing ${name}`, () =>
      this.#host.fs.writeFile(this.path(name), content, PRIVATE_MODE),
    );
  }

  /** Removes files of a capture that failed, so that another can take its place. */
  async discard(...names: readonly DraftFile[]): Promise<void> {
    for (const name of names) await rm(this.path(name), { force: true });
  }

  /**
   * Takes a finished file in, by a second name for it: abandoning the draft takes nothing away from whoever made it.
   * From the commit on it belongs to the store and is read only, under both names. A file of another file system is
   * copied.
   *
   * @throws DormouseError `snapshot_corrupt`: there is no such file; `no_space`
   */
  async adopt(name: DraftFile, path: string): Promise<void> {
    await this.#attempt(`adopting ${name}`, async () => {
      try {
        await link(path, this.path(name));
      } catch (error) {
        const code = systemErrorCode(error);
        if (code === 'ENOENT')
          throw corrupt(subjectOf(name, this.id), `comes from ${path}, which is missing`, error);
        if (code !== 'EXDEV') throw error;
        await copyFile(path, this.path(name), constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      }
    });
  }

  /**
   * Makes it a generation: files synced, their directory synced, renamed, the store's directory synced.
   *
   * The rename is the point of no return. What throws before it leaves a draft to abandon, and no generation. After it
   * the generation exists, whatever else fails: nothing throws any more but `onCommitted`. The caller can therefore let
   * its VM run on after a failure, which writes into the layer that was adopted.
   *
   * @throws DormouseError `invalid_state`: an artifact is missing, or a generation that it needs; `no_space`;
   * `snapshot_corrupt`: the captured memory is not readable, or the layer's header names another disk
   */
  async commit(facts: GenerationFacts, options: CommitOptions = {}): Promise<Manifest> {
    if (this.#state !== 'open') throw new DormouseError('invalid_state', `draft ${this.id} has ended`);
    const { fs, stamps, format } = this.#host;
    const step = async (name: CommitStep) => options.onStep?.(name);
    return this.#attempt('committing', async () => {
      const names = await this.#files(facts.kind);
      await this.#protect(names);
      const disk = await stamps.identity(this.path('disk.qcow2'));
      const manifest = await this.#describe(facts, names);
      if (format !== undefined) {
        await requireBacking(
          format,
          { root: dirname(this.finalDirectory) },
          this.id,
          this.path('disk.qcow2'),
          manifest.diskBacking,
        );
      }
      this.#holdDependencies(manifest);
      await step('artifacts-hashed');
      await fs.writeFile(join(this.directory, MANIFEST), encodeManifest(manifest), PRIVATE_MODE);
      await step('manifest-written');
      await Promise.all([...names, MANIFEST].map((name) => fs.syncFile(join(this.directory, name))));
      await step('files-synced');
      await fs.syncDirectory(this.directory);
      await step('directory-synced');
      await fs.rename(this.directory, this.finalDirectory);
      this.#state = 'renamed';
      try {
        this.#host.committed(manifest);
        await step('renamed');
        await this.#syncStore();
        await stamps.put(this.id, disk, manifest.artifacts['disk.qcow2']!.sha256);
        await step('committed');
        await options.onCommitted?.(manifest);
      } finally {
        this.#end();
      }
      return manifest;
    });
  }

  /**
   * Makes the rename durable. A disk that refuses is asked again; then the caller goes forward all the same, because
   * the generation is there: taking it back would take another durable rename.
   */
  async #syncStore(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#host.fs.syncDirectory(dirname(this.finalDirectory));
        return;
      } catch (error) {
        if (attempt < SYNC_ATTEMPTS) continue;
        this.#host.problem(error);
        return;
      }
    }
  }

  /** Removes what was not committed. May be called again, and after a commit, and then does nothing. */
  async abandon(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#end();
    await rm(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  #end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#host.released();
  }

  /** The files there are, held to those there must and may be. */
  async #files(kind: Manifest['kind']): Promise<DraftFile[]> {
    const present = (await readdir(this.directory)).toSorted();
    const required: readonly DraftFile[] = requiredArtifacts(kind);
    const allowed: readonly DraftFile[] = kind === 'full' ? [...required, WORKING_SET] : required;
    for (const name of required) {
      if (!present.includes(name)) throw this.#refusal(`${name} is missing`);
    }
    return present.map((name) => {
      const file = allowed.find((known) => known === name);
      if (file === undefined) throw this.#refusal(`${name} does not belong to it`);
      return file;
    });
  }

  /** Whoever the files came from, they are the store's own now. */
  async #protect(names: readonly DraftFile[]): Promise<void> {
    const owner = process.getuid?.() ?? 0;
    const group = process.getgid?.() ?? 0;
    for (const name of names) {
      const path = this.path(name);
      const { uid, mode } = await stat(path);
      if (uid !== owner) await chown(path, owner, group);
      const wanted = name === 'disk.qcow2' ? DISK_MODE : PRIVATE_MODE;
      if ((mode & 0o7777) !== wanted) await chmod(path, wanted);
    }
    await chmod(this.directory, DIRECTORY_MODE);
  }

  async #describe(facts: GenerationFacts, names: readonly DraftFile[]): Promise<Manifest> {
    const present = ARTIFACTS.filter((name) => names.includes(name));
    const records = await Promise.all(
      present.map(async (name) => [name, await recordOf(name, this.path(name), this.id)] as const),
    );
    const artifacts: Partial<Record<ArtifactName, ArtifactRecord>> = Object.fromEntries(records);
    return {
      version: 1,
      id: this.id,
      createdAt: new Date(this.#host.now()).toISOString(),
      kind: facts.kind,
      parent: facts.parent ?? null,
      diskBacking: facts.diskBacking ?? null,
      machine: facts.machine,
      memory: facts.kind === 'full' ? await this.#memory(facts) : null,
      artifacts,
      ownBytes: records.reduce((sum, [, record]) => sum + record.bytes, 0),
    };
  }

  async #memory(facts: GenerationFacts): Promise<MemoryRecord> {
    if (facts.counts === undefined) throw this.#refusal('the counts of its pages are missing');
    const map = decodePageMap(await readFile(this.path('memory.map')), subjectOf('memory.map', this.id));
    const sources = map.sources.filter((source) => source !== this.id);
    return { pageCount: map.pageCount, counts: facts.counts, sources };
  }

  /** Keeps everything that the generation needs from before its commit until after it, whoever began it. */
  #holdDependencies(manifest: Manifest): void {
    for (const id of dependencies(manifest)) {
      try {
        this.#host.hold(id);
      } catch (error) {
        if (!(error instanceof DormouseError) || error.code !== 'not_found') throw error;
        throw this.#refusal(`generation ${id}, which it needs, does not exist`);
      }
    }
  }

  #refusal(reason: string): DormouseError {
    return new DormouseError('invalid_state', `draft ${this.id} cannot be committed: ${reason}`);
  }

  async #attempt<T>(doing: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw storageError(`${doing} of generation ${this.id}`, error);
    }
  }
}
