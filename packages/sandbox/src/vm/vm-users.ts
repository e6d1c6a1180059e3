import { stat } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';
import type { UidRange } from '@dormouse/network';
import type { VmUser } from '@dormouse/vmm';

/**
 * User ids that VM processes run as, one per sandbox, so that a guest that breaks out of its VMM finds nothing of
 * another sandbox. High enough to meet neither system users nor the ranges that containers use by default.
 */
export const VM_UIDS: UidRange = { first: 1_907_000_000, last: 1_907_065_535 };

/** Whether this process may start others under another user. */
export function canChangeUser(): boolean {
  return process.geteuid?.() === 0;
}

/** Hands out user ids, each to one sandbox at a time. */
export class VmUserPool {
  readonly #taken = new Set<number>();

  /** Marks an id that a journal names as taken. */
  adopt(uid: number): void {
    this.#taken.add(uid);
  }

  /** @throws DormouseError `no_capacity` when all are in use */
  take(): number {
    for (let uid = VM_UIDS.first; uid <= VM_UIDS.last; uid++) {
      if (this.#taken.has(uid)) continue;
      this.#taken.add(uid);
      return uid;
    }
    throw new DormouseError('no_capacity', 'this host runs as many sandboxes as it has user ids for');
  }

  release(uid: number): void {
    this.#taken.delete(uid);
  }
}

const GROUP_READ_WRITE = 0o060;

/** A VM's user, with the group that may open /dev/kvm where there is one. */
export async function vmUser(uid: number): Promise<VmUser> {
  const kvm = await stat('/dev/kvm').catch(() => undefined);
  const groupMayOpen =
    kvm !== undefined && (kvm.mode & GROUP_READ_WRITE) === GROUP_READ_WRITE && kvm.gid !== 0;
  return { uid, gid: uid, groups: groupMayOpen ? [kvm.gid] : [] };
}
