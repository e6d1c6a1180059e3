import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIZE_BYTES = 1024 ** 3;
const UNMOUNT_ATTEMPTS = 100;
const RESTART_ATTEMPTS = 300;

/**
 * An ext4 file system on a loop device whose power can be cut: what was not synced, data and directory entries alike,
 * is gone then. Needs root.
 */
export class PowerCutFs implements Disposable {
  /** Where it is mounted. */
  readonly path: string;
  readonly #root: string;
  readonly #image: string;
  #isMounted = false;

  constructor() {
    this.#root = mkdtempSync(join(tmpdir(), 'dormouse-power-'));
    this.#image = join(this.#root, 'disk');
    this.path = join(this.#root, 'fs');
    writeFileSync(this.#image, '');
    truncateSync(this.#image, SIZE_BYTES);
    mkdirSync(this.path);
    run('mkfs.ext4', '-q', '-F', this.#image);
    this.mount();
  }

  /**
   * Cuts the power: every call fails from now on, and what the file system had not written to its disk is lost. Source:
   * `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`, which xfs_io(8) sends to ext4 as well.
   */
  cut(): void {
    run('xfs_io', '-x', '-c', 'shutdown', this.path);
  }

  /** The machine is on again: the journal of the file system is replayed. All files must be closed. */
  restart(): void {
    for (let attempt = 1; ; attempt++) {
      this.#unmount();
      this.mount();
      try {
        writeFileSync(join(this.path, '.writable'), '');
        rmSync(join(this.path, '.writable'));
        return;
      } catch (error) {
        // A mount namespace of another process that was made meanwhile still has the file system that was shut down.
        if (attempt === RESTART_ATTEMPTS) throw error;
        execFileSync('sleep', ['0.1']);
      }
    }
  }

  mount(): void {
    // Nothing reaches the disk by itself: only what is synced survives a cut.
    run('mount', '-o', 'loop,commit=3600', this.#image, this.path);
    this.#isMounted = true;
  }

  [Symbol.dispose](): void {
    this.#unmount();
    rmSync(this.#root, { recursive: true, force: true });
  }

  #unmount(): void {
    for (let attempt = 1; this.#isMounted; attempt++) {
      try {
        run('umount', this.path);
        this.#isMounted = false;
      } catch (error) {
        if (attempt === UNMOUNT_ATTEMPTS) throw error;
        execFileSync('sleep', ['0.02']);
      }
    }
  }
}

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
