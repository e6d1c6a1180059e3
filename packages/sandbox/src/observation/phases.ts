import { beginSpan, inSpan } from '@dormouse/telemetry';
import { type HostObserver, NOBODY, type Operation, type PhaseOf } from './observer.js';

/** Does a part of an operation, and tells how long it took when it has succeeded. */
export type PhaseRunner<Name extends Operation> = <T>(
  phase: PhaseOf[Name],
  work: () => Promise<T>,
) => Promise<T>;

/** Does an operation in phases, and tells how long it and each of them took; each has a span. */
export async function inPhases<Name extends Operation, T>(
  { observer = NOBODY }: { readonly observer?: HostObserver },
  operation: Name,
  work: (phase: PhaseRunner<Name>) => Promise<T>,
): Promise<T> {
  const beganMs = performance.now();
  const span = beginSpan(operation);
  const runner: PhaseRunner<Name> = async (phase, part) => {
    const phaseBeganMs = performance.now();
    const done = await inSpan(`${operation} ${phase}`, {}, part);
    observer.phase(operation, phase, performance.now() - phaseBeganMs);
    return done;
  };
  try {
    const result = await span.run(() => work(runner));
    span.end();
    observer.operation(operation, 'ok', performance.now() - beganMs);
    return result;
  } catch (error) {
    span.end(error);
    observer.operation(operation, 'error', performance.now() - beganMs);
    throw error;
  }
}
