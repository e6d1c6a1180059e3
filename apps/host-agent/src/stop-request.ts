/**
 * Why the agent shall stop. `shut-down`: somebody ends this host, its sandboxes go with it. `hand-over`: only the
 * agent goes; sandboxes run on and the next agent takes them over.
 */
export type StopRequest = 'shut-down' | 'hand-over';

/**
 * Waits until the agent shall stop: SIGTERM and SIGINT shut down, SIGHUP hands over, and so does the end of standard
 * input where a supervisor holds its other end, because then nobody decided to end the sandboxes.
 */
export function stopRequested(supervised: boolean): Promise<StopRequest> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('shut-down'));
    process.once('SIGINT', () => resolve('shut-down'));
    process.once('SIGHUP', () => resolve('hand-over'));
    if (!supervised) return;
    process.stdin.once('end', () => resolve('hand-over'));
    process.stdin.once('error', () => resolve('hand-over'));
    process.stdin.resume();
  });
}
