/** One part of releasing what something holds. */
export type Step = () => Promise<unknown> | unknown;

/**
 * Runs all steps in order, each whatever became of those before it.
 *
 * @throws the first error, once every step has run
 */
export async function everyStep(...steps: readonly Step[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** What must be given back when something fails half-way, in the order in which it must be given back. */
export class UndoList {
  readonly #steps: Step[] = [];

  add(step: Step): void {
    this.#steps.push(step);
  }

  /** Runs every step, each whatever became of the others; reports what failed. Never rejects. */
  async run(onProblem: (error: unknown) => void): Promise<void> {
    for (const step of this.#steps.splice(0)) {
      try {
        await step();
      } catch (error) {
        onProblem(error);
      }
    }
  }
}
