import { describe, expect, test } from 'vitest';
import { canChangeUser, VM_UIDS, VmUserPool, vmUser } from './vm-users.js';

describe('the users of VMs', () => {
  test('are handed out once each until they come back', () => {
    const pool = new VmUserPool();
    expect([pool.take(), pool.take(), pool.take()]).toEqual([1_907_000_000, 1_907_000_001, 1_907_000_002]);
    pool.release(1_907_000_001);
    expect([pool.take(), pool.take()]).toEqual([1_907_000_001, 1_907_000_003]);
  });

  test('that a journal names are not handed out', () => {
    const pool = new VmUserPool();
    pool.adopt(1_907_000_000);
    pool.adopt(1_907_000_002);
    expect([pool.take(), pool.take()]).toEqual([1_907_000_001, 1_907_000_003]);
  });

  test('end at 65,536', () => {
    const pool = new VmUserPool();
    for (let uid = VM_UIDS.first; uid <= VM_UIDS.last; uid++) pool.adopt(uid);
    expect(VM_UIDS.last - VM_UIDS.first + 1).toBe(65_536);
    expect(() => pool.take()).toThrow(
      expect.objectContaining({
        code: 'no_capacity',
        message: 'this host runs as many sandboxes as it has user ids for',
      }),
    );
    pool.release(VM_UIDS.last);
    expect(pool.take()).toBe(VM_UIDS.last);
  });

  test('have a group of their own and never root’s', async () => {
    const user = await vmUser(1_907_000_007);
    expect(user).toMatchObject({ uid: 1_907_000_007, gid: 1_907_000_007 });
    expect(user.groups).not.toContain(0);
  });

  test('can be taken on by root only', () => {
    expect(canChangeUser()).toBe(process.geteuid?.() === 0);
  });
});
