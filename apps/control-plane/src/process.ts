import { fromUnknown } from '@dormouse/errors';

/** When to stop. */
export interface StopOptions {
  /** Also when stdin closes: whoever started us and held its other end is gone. */
  readonly whenStdinCloses: boolean;
}

/** A signal that fires at SIGTERM, SIGINT and, if wanted, the end of stdin. */
export function stopRequested({ whenStdinCloses }: StopOptions): AbortSignal {
  const controller = new AbortController();
  const stop = () => controller.abort();
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  if (whenStdinCloses) {
    process.stdin.on('end', stop);
    process.stdin.on('close', stop);
    process.stdin.on('error', stop);
    process.stdin.resume();
  }
  return controller.signal;
}

/** Resolves when a signal has fired. */
export function once(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** Ends the process with one clear line on stderr and the error's exit code. */
export function failWith(program: string, thrown: unknown): void {
  const error = fromUnknown(thrown);
  const text = error.suggestion === undefined ? error.message : `${error.message}. ${error.suggestion}`;
  process.stderr.write(`${program}: ${text.replaceAll(/\s*\n\s*/g, ' ')}\n`, () =>
    process.exit(error.exitCode),
  );
}
