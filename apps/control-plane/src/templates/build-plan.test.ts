import type { BuildStep } from '@dormouse/contracts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chosen, lastContext, planBuild } from './build-plan.js';

const run = (command: string): BuildStep => ({ type: 'run', command });
const anyStep: fc.Arbitrary<BuildStep> = fc.oneof(
  fc.record({ type: fc.constant('run' as const), command: fc.string({ minLength: 1 }) }),
  fc.record({
    type: fc.constant('copy' as const),
    path: fc.constantFrom('/a', '/b'),
    content: fc.string(),
    encoding: fc.constant('utf-8' as const),
    mode: fc.constant('0644'),
  }),
  fc.record({
    type: fc.constant('env' as const),
    envs: fc.dictionary(fc.constantFrom('A', 'B'), fc.string()),
  }),
  fc.record({ type: fc.constant('workdir' as const), path: fc.constantFrom('/x', '/y') }),
  fc.record({ type: fc.constant('user' as const), name: fc.constantFrom('root', 'user') }),
);

test('what is said of the environment, the directory and the user holds for what follows', () => {
  const plan = planBuild('base', [
    run('one'),
    { type: 'env', envs: { A: '1', B: '1' } },
    { type: 'workdir', path: '/srv' },
    run('two'),
    { type: 'env', envs: { B: '2' } },
    { type: 'user', name: 'user' },
  ]);
  expect(plan.map(({ number, works }) => [number, works])).toEqual([
    [1, true],
    [2, false],
    [3, false],
    [4, true],
    [5, false],
    [6, false],
  ]);
  expect(plan[0]?.context).toEqual({ envs: {}, workdir: '/', user: 'root' });
  expect(plan[3]?.context).toEqual({ envs: { A: '1', B: '1' }, workdir: '/srv', user: 'root' });
  expect(lastContext(plan)).toEqual({ envs: { A: '1', B: '2' }, workdir: '/srv', user: 'user' });
  expect(lastContext([])).toEqual({ envs: {}, workdir: '/', user: 'root' });
  expect(chosen(plan)).toEqual({ workdir: '/srv', user: 'user' });
  expect(chosen(plan.slice(0, 3))).toEqual({ workdir: '/srv' });
  expect(chosen([])).toEqual({});
});

test('keys are equal exactly as far as origin and steps are, whatever follows', () => {
  const steps = fc.array(anyStep, { maxLength: 8 });
  fc.assert(
    fc.property(steps, steps, steps, (common, left, right) => {
      const [a, b] = [planBuild('base', [...common, ...left]), planBuild('base', [...common, ...right])];
      for (let i = 0; i < Math.min(a.length, b.length); i++) {
        const same = JSON.stringify(a.slice(0, i + 1).map(({ step }) => sorted(step)));
        const equal = same === JSON.stringify(b.slice(0, i + 1).map(({ step }) => sorted(step)));
        expect(a[i]?.key === b[i]?.key).toBe(equal);
      }
      const elsewhere = planBuild('other', [...common, ...left]);
      elsewhere.forEach(({ key }, i) => {
        expect(key).not.toBe(a[i]?.key);
      });
      expect(new Set(a.map(({ key }) => key)).size).toBe(a.length);
    }),
  );
});

test('the order in which fields were written is no difference', () => {
  const [a] = planBuild('base', [{ type: 'env', envs: { A: '1', B: '2' } }]);
  const [b] = planBuild('base', [{ envs: { B: '2', A: '1' }, type: 'env' }]);
  expect(a?.key).toBe(b?.key);
});

function sorted(step: BuildStep): unknown {
  if (step.type !== 'env') return step;
  return { type: 'env', envs: Object.entries(step.envs).sort() };
}
