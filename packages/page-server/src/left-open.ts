import type { Socket } from 'node:net';

/** How long a VM whose restore has failed may take to be ended. */
const ENDING_TIMEOUT_MS = 60_000;

const sockets = new Set<Socket>();
let onEmpty: (() => void) | undefined;

/**
 * Keeps the connection to a QEMU whose restore has failed open until its VM is ended, for a minute at most. QEMU whose
 * source hangs up in the middle stops catching faults, and its guest may see zeros for an instant. With the connection
 * open the guest stands still until the host agent, which learns of the failure, has ended the VM.
 */
export function leaveOpen(socket: Socket): void {
  const late = setTimeout(() => socket.destroy(), ENDING_TIMEOUT_MS);
  sockets.add(socket);
  socket.once('close', () => {
    clearTimeout(late);
    sockets.delete(socket);
    if (sockets.size === 0) onEmpty?.();
  });
  socket.on('error', () => {});
  socket.resume();
}

/** How many such connections there are. */
export function openConnections(): number {
  return sockets.size;
}

/** Calls back once when the last of them has closed. */
export function whenConnectionsClose(call: () => void): void {
  onEmpty = call;
}
