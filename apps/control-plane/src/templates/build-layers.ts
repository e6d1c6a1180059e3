import { fromUnknown } from '@dormouse/errors';
import type { TeamScope } from '@dormouse/store';
import { isContentVerdict } from '../snapshots/content-verdict.js';
import type { PlannedStep } from './build-plan.js';

/** A step after which an earlier build has kept a moment, and that moment. */
export interface Layer {
  readonly step: PlannedStep;
  readonly snapshotId: string;
}

/**
 * Begins where most steps are done already: at the longest prefix of the plan that has a layer. A layer is a copy of
 * what its steps do, so one that is gone, or that the host cannot restore, leads to the next shorter prefix, and at
 * last to the beginning. After any other error the same layer may be restored later, and that error is the answer.
 *
 * @param begin at a layer, or at the beginning
 * @param onUnusable is told of a layer that is passed over
 */
export async function fromLongestPrefix<Result>(
  team: TeamScope,
  template: string,
  plan: readonly PlannedStep[],
  begin: (layer: Layer | undefined) => Promise<Result>,
  onUnusable: (layer: Layer, reason: string) => Promise<void>,
): Promise<Result> {
  for (const step of plan.toReversed()) {
    if (!step.works) continue;
    const snapshotId = await team.templateBuilds.layer(template, step.key);
    if (snapshotId === undefined) continue;
    try {
      return await begin({ step, snapshotId });
    } catch (thrown) {
      const { code, message } = fromUnknown(thrown);
      if (!isContentVerdict(code) && code !== 'not_found') throw thrown;
      await onUnusable({ step, snapshotId }, message);
    }
  }
  return await begin(undefined);
}
