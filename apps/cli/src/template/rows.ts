import type { TemplateBuildInfo } from '@dormouse/sdk';
import { humanAge } from '../terminal/human.js';

/** One row of `template builds` for each build. */
export function buildRows(builds: readonly TemplateBuildInfo[], nowMs: number): string[][] {
  return builds.map((build) => [
    build.id,
    build.name,
    build.state,
    `${build.step}/${build.steps}`,
    String(build.cachedSteps),
    humanAge(build.createdAt, nowMs),
    build.error ?? '',
  ]);
}
