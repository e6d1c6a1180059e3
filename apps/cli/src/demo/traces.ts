import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { humanBytes } from '../terminal/human.js';

const GUEST_MEMORY_DIR = '/dev/shm/dormouse';
/** Of `st_blocks`, whatever the file system. */
const BLOCK_BYTES = 512;

/** What keeps a sandbox running on this machine. */
export interface VmTraces {
  readonly pid: number;
  /** Resident memory of the process. */
  readonly residentBytes: number;
  /** The files that hold the guest's memory. */
  readonly memoryFiles: readonly string[];
  /** What they take of this machine's memory: what the guest has touched. */
  readonly memoryBytes: number;
}

/**
 * The process and the memory of a sandbox, looked up in its journal and in /proc.
 *
 * @param dataDir of the `up` that runs it
 * @returns undefined when there is no telling: it runs elsewhere, or this user may not look
 */
export function vmTraces(dataDir: string, id: string): VmTraces | undefined {
  try {
    const { vm } = JSON.parse(readFileSync(join(dataDir, 'sandboxes', id, 'journal.json'), 'utf8')) as {
      vm?: { pid: number; slot: string };
    };
    if (vm === undefined || !isVm(vm.pid, vm.slot)) return undefined;
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${vm.pid}/status`, 'utf8'))?.[1];
    const files = memoryFiles(vm.slot);
    const memoryBytes = files.reduce((sum, path) => sum + statSync(path).blocks * BLOCK_BYTES, 0);
    return { pid: vm.pid, residentBytes: Number(kib) * 1024, memoryFiles: files, memoryBytes };
  } catch {
    return undefined;
  }
}

/** What is left of what was there: nothing, if all is well. */
export function remainsOf({ pid, memoryFiles }: VmTraces): readonly string[] {
  const files = memoryFiles.filter((path) => statSync(path, { throwIfNoEntry: false }) !== undefined);
  return isAlive(pid) ? [`process ${pid}`, ...files] : files;
}

/** A process that has ended and is still to be noticed by its parent (a zombie) holds nothing any more. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/[ZX]/.test(stat.charAt(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

/** `process 123 (310 MiB) and its 250 MiB of guest memory` */
export function describeTraces({ pid, residentBytes, memoryBytes }: VmTraces): string {
  return `process ${pid} (${humanBytes(residentBytes)}) and its ${humanBytes(memoryBytes)} of guest memory`;
}

/** Process ids are used again: the VM's knows its place. */
function isVm(pid: number, slot: string): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(slot);
}

function memoryFiles(slot: string): string[] {
  return readdirSync(GUEST_MEMORY_DIR)
    .map((instance) => join(GUEST_MEMORY_DIR, instance, slot))
    .filter((path) => statSync(path, { throwIfNoEntry: false }) !== undefined);
}
