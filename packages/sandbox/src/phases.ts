import { type HostObserver, NOBODY, type Operation, type PhaseOf } from './observer.js';

/** Does a part of an operation, and tells how long it took when it has succeeded. */
export type PhaseRunner<Name extends Operation> = <T>(
  phase: PhaseOf[Name],
  work: () => Promise<T>,
) => Promise<T>;

/** Does an operation in phases, and tells how long it and each of them took. */
export async function inPhases<Name extends Operation, T>(
  { observer = NOBODY }: { readonly observer?: HostObserver },
  operation: Name,
  work: (phase: PhaseRunner<Name>) => Promise<T>,
): Promise<T> {
  const beganMs = performance.now();
  let outcome: 'ok' | 'error' = 'error';
  try {
    const result = await work(async (phase, part) => {
      const phaseBeganMs = performance.now();
      const done = await part();
      observer.phase(operation, phase, performance.now() - phaseBeganMs);
      return done;
    });
    outcome = 'ok';
    return result;
  } finally {
    observer.operation(operation, outcome, performance.now() - beganMs);
  }
}
