/**
 * Addresses of QEMU's user-mode network, the same inside every guest: nothing can reach in, so they never meet.
 * Source: QEMU manual, "Using the user mode network stack".
 */
export const USER_NETWORK = {
  guestAddress: '10.0.2.15/24',
  gateway: '10.0.2.2',
  nameServer: '10.0.2.3',
} as const;
