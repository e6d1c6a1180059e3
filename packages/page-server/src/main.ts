import { fromUnknown } from '@dormouse/errors';
import { capture } from './capture.js';
import type { Job, Message } from './jobs.js';
import { serve } from './serve.js';

/**
 * The page server process: one job at a time, from the process that started it. When that one goes away the job at
 * hand is finished first, because a guest may be waiting for its memory.
 */
let busy = false;

function tell(message: Message): void {
  if (process.connected) process.send?.(message);
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

process.on('message', (job: Job) => {
  busy = true;
  void work(job).then((message) => {
    busy = false;
    tell(message);
    if (!process.connected) process.exit(0);
  });
});
process.on('disconnect', () => {
  if (!busy) process.exit(0);
});
// What stops the one who started it must not stop a guest's memory in the middle.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
tell({ kind: 'ready' });
