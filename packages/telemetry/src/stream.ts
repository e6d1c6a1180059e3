import type { Work } from './span.js';

/**
 * A stream whose every step is part of a span, which ends with it: at its end, with its failure, or when its reader
 * breaks off.
 *
 * @param inOurTerms what a failure is called. Default: as it is thrown
 */
export function inStream<T>(
  stream: AsyncIterable<T>,
  work: Work,
  inOurTerms: (error: unknown) => unknown = (error) => error,
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      const steps = work.run(() => stream[Symbol.asyncIterator]());
      const over: IteratorReturnResult<undefined> = { done: true, value: undefined };
      return {
        next: async () => {
          try {
            const step = await work.run(() => steps.next());
            if (step.done === true) work.end();
            return step;
          } catch (error) {
            work.end(inOurTerms(error));
            throw error;
          }
        },
        return: async () => {
          try {
            await work.run(async () => steps.return?.());
            return over;
          } finally {
            work.end();
          }
        },
        throw: async (reason: unknown) => {
          try {
            return (await work.run(async () => steps.throw?.(reason))) ?? over;
          } finally {
            work.end(inOurTerms(reason));
          }
        },
      };
    },
  };
}
