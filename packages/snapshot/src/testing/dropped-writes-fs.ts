import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type DurableFs, REAL_FS } from '../store/durable-fs.js';

/** What a directory held when it was last synced: inodes by name. */
type Entries = ReadonlyMap<string, number>;

/**
 * The real file system, with a record of what is durable: the content of a file as of its last sync, the entries of a
 * directory as of its last sync. `writeSurvivors` makes what a power cut would leave at worst.
 */
export class DroppedWritesFs implements DurableFs {
  /** Calls so far, in order, with paths below the root. */
  readonly calls: string[] = [];
  readonly #root: string;
  readonly #files = new Map<number, Buffer>();
  readonly #directories = new Map<number, Entries>();

  constructor(root: string) {
    this.#root = root;
  }

  async writeFile(path: string, content: string | Uint8Array, mode: number): Promise<void> {
    await REAL_FS.writeFile(path, content, mode);
    this.#note('write', path);
  }

  async syncFile(path: string): Promise<void> {
    await REAL_FS.syncFile(path);
    this.#note('sync file', path);
    this.#files.set(statSync(path).ino, readFileSync(path));
  }

  async syncDirectory(path: string): Promise<void> {
    await REAL_FS.syncDirectory(path);
    this.#note('sync directory', path);
    this.#recordDirectory(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await REAL_FS.rename(from, to);
    this.#note('rename', to);
  }

  /** Takes everything there is now for durable, the way it is after a long time. */
  settle(path: string = this.#root): void {
    this.#recordDirectory(path);
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) this.settle(child);
      else this.#files.set(statSync(child).ino, readFileSync(child));
    }
  }

  /** Makes a tree of what is durable. A file whose content was never synced is empty, a directory too. */
  writeSurvivors(into: string): void {
    this.#writeDirectory(statSync(this.#root).ino, into);
  }

  #writeDirectory(inode: number, into: string): void {
    mkdirSync(into, { recursive: true });
    for (const [name, child] of this.#directories.get(inode) ?? []) {
      const path = join(into, name);
      if (child < 0) this.#writeDirectory(-child, path);
      else writeFileSync(path, this.#files.get(child) ?? '');
    }
  }

  /** Directories are told from files by a negative inode. */
  #recordDirectory(path: string): void {
    const entries = readdirSync(path, { withFileTypes: true }).map((entry): [string, number] => {
      const { ino } = statSync(join(path, entry.name));
      return [entry.name, entry.isDirectory() ? -ino : ino];
    });
    this.#directories.set(statSync(path).ino, new Map(entries));
  }

  #note(call: string, path: string): void {
    this.calls.push(`${call} ${relative(this.#root, path) || '.'}`);
  }
}
