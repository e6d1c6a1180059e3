import { createHash } from 'node:crypto';
import type { BuildStep } from '@dormouse/contracts';

/** How commands of a build are run. */
export interface BuildContext {
  readonly envs: Readonly<Record<string, string>>;
  /** Made when it is missing. */
  readonly workdir: string;
  readonly user: string;
}

/** A step, how it is run, and what it is known by. */
export interface PlannedStep {
  /** From 1. */
  readonly number: number;
  readonly step: BuildStep;
  /** What commands of this step are run with, and, after the last one, those that follow. */
  readonly context: BuildContext;
  /** Hash of what the build begins with and of every step up to this one: what has the same key has the same result. */
  readonly key: string;
  /** Whether it does something in the sandbox, so that a moment after it is worth keeping. */
  readonly works: boolean;
}

/** What a recipe begins with, until it says otherwise. */
const FIRST_CONTEXT: BuildContext = { envs: {}, workdir: '/', user: 'root' };

/**
 * What a build does, step by step.
 *
 * @param origin names exactly what it begins with, sizes included
 */
export function planBuild(origin: string, steps: readonly BuildStep[]): readonly PlannedStep[] {
  let context = FIRST_CONTEXT;
  let key = sha256(origin);
  return steps.map((step, index) => {
    key = sha256(`${key} ${JSON.stringify(canonical(step))}`);
    context = contextAfter(context, step);
    return { number: index + 1, step, context, key, works: step.type === 'run' || step.type === 'copy' };
  });
}

/** How commands are run after all steps. */
export function lastContext(plan: readonly PlannedStep[]): BuildContext {
  return plan.at(-1)?.context ?? FIRST_CONTEXT;
}

/** What the steps say about commands, for those that come later in what was built. */
export function chosen(plan: readonly PlannedStep[]): { readonly user?: string; readonly workdir?: string } {
  const { user, workdir } = lastContext(plan);
  const says = (type: BuildStep['type']): boolean => plan.some(({ step }) => step.type === type);
  return { ...(says('user') ? { user } : {}), ...(says('workdir') ? { workdir } : {}) };
}

function contextAfter(context: BuildContext, step: BuildStep): BuildContext {
  switch (step.type) {
    case 'env':
      return { ...context, envs: { ...context.envs, ...step.envs } };
    case 'workdir':
      return { ...context, workdir: step.path };
    case 'user':
      return { ...context, user: step.name };
    case 'run':
    case 'copy':
      return context;
  }
}

/** The same value for the same step, in whatever order its fields were written. */
function canonical(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, item]) => [key, canonical(item)]);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
