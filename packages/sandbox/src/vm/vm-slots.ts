import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { VmUser } from '@dormouse/vmm';
import { guestMemoryDir, type HostConfig, vmSlotsDir } from '../config/host-config.js';
import { endProcessesOf } from './leftovers.js';
import { canChangeUser, VM_UIDS, VmUserPool, vmUser } from './vm-users.js';

/** What a journal keeps of a slot. */
export interface VmSlotRecord {
  readonly slot: string;
  /** User of the VM process; absent where VMs run as the agent's own user. */
  readonly uid?: number | undefined;
}

/** A place for one VM process: directory, guest memory, user. */
export interface VmSlot {
  readonly record: VmSlotRecord;
  /** The VMM's own log is here; only the agent may write. */
  readonly dir: string;
  /** Sockets; the VM's user owns it. */
  readonly runDir: string;
  /** Guest memory, on tmpfs. */
  readonly memoryPath: string;
  readonly user: VmUser | undefined;
}

/**
 * The places of all VM processes of a host, whether a sandbox lives in them or they still wait for one. What no journal
 * names belongs to nobody and is freed when the host opens.
 */
export class VmSlots {
  readonly #config: HostConfig;
  readonly #users = canChangeUser() ? new VmUserPool() : undefined;

  constructor(config: HostConfig) {
    this.#config = config;
  }

  /** A new place, empty and ready for a process. @throws DormouseError `no_capacity` */
  async take(): Promise<VmSlot> {
    const uid = this.#users?.take();
    const record = { slot: `vm${randomBytes(8).toString('hex')}`, ...(uid === undefined ? {} : { uid }) };
    const slot = await this.#slot(record);
    try {
      await mkdir(slot.dir, { recursive: true, mode: 0o711 });
      await this.clear(slot);
      return slot;
    } catch (error) {
      await this.release(slot);
      throw error;
    }
  }

  /** The place that a journal names. */
  async adopt(record: VmSlotRecord): Promise<VmSlot> {
    if (record.uid !== undefined) this.#users?.adopt(record.uid);
    return await this.#slot(record);
  }

  /** Ends what runs in a place and empties it, memory included. */
  async clear(slot: VmSlot): Promise<void> {
    await endProcessesOf(slot.runDir);
    const { runDir, memoryPath, user } = slot;
    await rm(runDir, { recursive: true, force: true });
    await mkdir(runDir, { mode: 0o700 });
    await mkdir(guestMemoryDir(this.#config), { recursive: true, mode: 0o711 });
    await rm(memoryPath, { force: true });
    const memory = await open(memoryPath, 'wx', 0o600);
    try {
      if (user !== undefined) await memory.chown(user.uid, user.gid);
    } finally {
      await memory.close();
    }
    if (user !== undefined) await chown(runDir, user.uid, user.gid);
  }

  /** Ends what runs in a place and gives it up. Idempotent. */
  async release(slot: VmSlot): Promise<void> {
    await endProcessesOf(slot.runDir);
    await rm(slot.memoryPath, { force: true });
    await rm(slot.dir, { recursive: true, force: true });
    if (slot.record.uid !== undefined) this.#users?.release(slot.record.uid);
  }

  /** Frees every place, and all guest memory, that is none of these. */
  async releaseOthers(known: ReadonlySet<string>): Promise<void> {
    const dir = vmSlotsDir(this.#config);
    await mkdir(dir, { recursive: true, mode: 0o711 });
    await mkdir(guestMemoryDir(this.#config), { recursive: true, mode: 0o711 });
    for (const name of await readdir(dir)) {
      if (known.has(name)) continue;
      await endProcessesOf(join(dir, name, 'run'));
      await rm(join(dir, name), { recursive: true, force: true });
    }
    for (const name of await readdir(guestMemoryDir(this.#config))) {
      if (!known.has(name)) await rm(join(guestMemoryDir(this.#config), name), { force: true });
    }
  }

  /**
   * Keeps every place that is none of these: its sandbox is not known, and may be found again. Its user is given to no
   * other VM.
   */
  async adoptOthers(known: ReadonlySet<string>): Promise<void> {
    const dir = vmSlotsDir(this.#config);
    await mkdir(dir, { recursive: true, mode: 0o711 });
    for (const name of await readdir(dir)) {
      if (known.has(name)) continue;
      const { uid } = await stat(join(dir, name, 'run')).catch(() => ({ uid: 0 }));
      if (uid >= VM_UIDS.first && uid <= VM_UIDS.last) this.#users?.adopt(uid);
    }
  }

  async #slot(record: VmSlotRecord): Promise<VmSlot> {
    const dir = join(vmSlotsDir(this.#config), record.slot);
    return {
      record,
      dir,
      runDir: join(dir, 'run'),
      memoryPath: join(guestMemoryDir(this.#config), record.slot),
      user: record.uid === undefined ? undefined : await vmUser(record.uid),
    };
  }
}
