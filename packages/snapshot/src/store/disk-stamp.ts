import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Beside the generations, because they do not change. */
const DIRECTORY = '.stamps';

/**
 * Remembers which disk layers have been hashed and found right, by what changes when a file's content does: device,
 * inode, size, and the time of the last write to the nanosecond. The time of the last status change is left out: it
 * changes whenever a name of the file goes, which happens to every layer after its pause. Layers can be gigabytes; a
 * file that has not changed since is not hashed again. A stamp is a cache: losing one costs a hash.
 */
export class DiskStamps {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** What a file is now. Take it before hashing, so that a change while hashing counts as one. */
  async identity(path: string): Promise<string> {
    const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs].join(':');
  }

  /** Whether the generation's layer was found to hash to `sha256` when it was the same file. */
  async has(generationId: string, identity: string, sha256: string): Promise<boolean> {
    const stamp = await readFile(this.#path(generationId), 'latin1').catch(() => '');
    return stamp === stampOf(identity, sha256);
  }

  /** Notes that a layer was found right. Does nothing when that cannot be written: the next reader hashes again. */
  async put(generationId: string, identity: string, sha256: string): Promise<void> {
    const path = this.#path(generationId);
    const temporary = `${path}.${randomUUID()}`;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFile(temporary, stampOf(identity, sha256), { mode: 0o600 });
      await rename(temporary, path);
    } catch {
      await rm(temporary, { force: true }).catch(() => {});
    }
  }

  /** Removes stamps of generations that do not exist any more. */
  async prune(exists: (generationId: string) => boolean): Promise<void> {
    const directory = join(this.#root, DIRECTORY);
    for (const name of await readdir(directory).catch(() => [])) {
      if (!exists(name)) await rm(join(directory, name), { force: true }).catch(() => {});
    }
  }

  /** Forgets a generation. What cannot be removed now goes with the next {@link prune}. */
  async remove(generationId: string): Promise<void> {
    await rm(this.#path(generationId), { force: true }).catch(() => {});
  }

  #path(generationId: string): string {
    return join(this.#root, DIRECTORY, generationId);
  }
}

function stampOf(identity: string, sha256: string): string {
  return `${identity} ${sha256}\n`;
}
