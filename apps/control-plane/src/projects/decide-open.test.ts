import type { ErrorCode } from '@dormouse/errors';
import { SANDBOX_STATES, type SandboxState } from '@dormouse/lifecycle';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstStep, isGone, nextStep, type OpenStep } from './decide-open.js';

const SETTLED: readonly (SandboxState | undefined)[] = [
  undefined,
  'running',
  'snapshotting',
  'paused',
  'stopping',
  'stopped',
  'error',
];

/** Every step that is tried when each of them fails with this code. */
function stepsWhenAllFail(
  sandbox: SandboxState | undefined,
  moment: boolean,
  code: ErrorCode = 'snapshot_corrupt',
): OpenStep[] {
  const remains = { sandbox, moment };
  const steps: OpenStep[] = [];
  for (let step: OpenStep | undefined = firstStep(remains); step; step = nextStep(step, code, remains)) {
    steps.push(step);
  }
  return steps;
}

describe('what opening a project tries, in this order, with', () => {
  const chains: [SandboxState | undefined, boolean, OpenStep[]][] = [
    ['running', true, ['use', 'spawn_snapshot', 'spawn_template']],
    ['snapshotting', true, ['use', 'spawn_snapshot', 'spawn_template']],
    ['running', false, ['use', 'spawn_template']],
    ['paused', true, ['resume', 'reboot', 'spawn_snapshot', 'spawn_template']],
    ['paused', false, ['resume', 'reboot', 'spawn_template']],
    ['stopping', true, ['spawn_snapshot', 'spawn_template']],
    ['stopped', true, ['spawn_snapshot', 'spawn_template']],
    ['error', false, ['spawn_template']],
    [undefined, true, ['spawn_snapshot', 'spawn_template']],
    [undefined, false, ['spawn_template']],
  ];
  test.each(chains)('a sandbox that is %s, and a moment: %s', (sandbox, moment, expected) => {
    expect(stepsWhenAllFail(sandbox, moment)).toEqual(expected);
  });
});

const VERDICTS = ['snapshot_corrupt', 'snapshot_incompatible', 'snapshot_unsupported'] as const;
const OTHERS = [
  'internal',
  'restore_failed',
  'boot_failed',
  'guest_unreachable',
  'guest_protocol',
  'timeout',
  'not_found',
  'invalid_state',
  'unavailable',
  'no_capacity',
  'no_space',
  'quota_exceeded',
  'too_many_requests',
  'cancelled',
] as const satisfies readonly Exclude<ErrorCode, (typeof VERDICTS)[number]>[];

test.each(OTHERS)(
  'hazard 5: %s says nothing about a moment, so nothing less is opened in its place',
  (code) => {
    for (const sandbox of SETTLED) {
      for (const moment of [true, false]) {
        expect(stepsWhenAllFail(sandbox, moment, code)).toEqual([firstStep({ sandbox, moment })]);
      }
    }
  },
);

test('whatever there is and whatever verdict the host gives, it ends with the template, and no step comes twice', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...SETTLED),
      fc.boolean(),
      fc.constantFrom<ErrorCode>(...VERDICTS),
      (sandbox, moment, failure) => {
        const steps = stepsWhenAllFail(sandbox, moment, failure);
        expect(steps.at(-1)).toBe('spawn_template');
        expect(new Set(steps).size).toBe(steps.length);
        expect(steps.includes('spawn_snapshot')).toBe(moment);
        expect(steps.includes('use') || steps.includes('resume')).toBe(!isGone(sandbox));
      },
    ),
  );
});

test('what is gone', () => {
  expect(SANDBOX_STATES.filter(isGone)).toEqual(['stopping', 'stopped', 'error']);
  expect(isGone(undefined)).toBe(true);
});
