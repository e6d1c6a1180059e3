import { fromUnknown } from '@dormouse/errors';
import { capture } from './capture.js';
import type { Job, Message, Ping } from './jobs.js';
import { openConnections, whenConnectionsClose } from './left-open.js';
import { serve } from './serve.js';

/**
 * The page server process: one job at a time, from the process that started it. When that one goes away the job at
 * hand is finished first, because a guest may be waiting for its memory.
 */
let busy = false;

/**
 * Reports to the process that started this one, where that still runs. One that ends at this very time makes sending
 * fail, which must not end a process that a guest depends on.
 */
function tell(message: Message): void {
  if (process.connected) process.send?.(message, () => {});
}

async function work(job: Job): Promise<Message> {
  try {
    if (job.kind === 'capture') return { kind: 'captured', captured: capture(job) };
    return { kind: 'served', served: await serve(job, () => tell({ kind: 'running' })) };
  } catch (thrown) {
    const { code, message, suggestion } = fromUnknown(thrown);
    return { kind: 'failed', code, message, suggestion };
  }
}

process.on('message', (order: Job | Ping) => {
  if (order.kind === 'ping') {
    tell({ kind: 'pong' });
    return;
  }
  busy = true;
  void work(order).then((message) => {
    busy = false;
    tell(message);
    endWithoutParent();
  });
});
process.on('disconnect', endWithoutParent);

/**
 * Ends once the process that started this one has gone and no job is left. After a restore that failed the connection
 * to QEMU is still open, so that the guest stands still until its VM is ended: the process ends with that connection.
 */
function endWithoutParent(): void {
  if (busy || process.connected) return;
  // Listeners of signals do not keep the process; an open connection does.
  if (openConnections() === 0) process.exit(0);
  whenConnectionsClose(() => process.exit(0));
}
// What stops the one who started it must not stop a guest's memory in the middle.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
tell({ kind: 'ready' });
