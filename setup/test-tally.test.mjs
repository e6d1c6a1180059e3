import { deepStrictEqual, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { addTallies, closingLine, failuresOfVitest, tallyOutput, tallyVitest } from './test-tally.mjs';

const report = (/** @type {object} */ fields) =>
  JSON.stringify({ numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, testResults: [], ...fields });

test('the counts of vitest are taken over', () => {
  const text = report({ numPassedTests: 5, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 });
  deepStrictEqual(tallyVitest(text, false), { passed: 5, failed: 1, skipped: 3 });
});

test('a run that failed outside of any test is never a success', () => {
  const broken = report({ numPassedTests: 5, testResults: [{ status: 'failed', assertionResults: [] }] });
  deepStrictEqual(tallyVitest(broken, false), { passed: 5, failed: 1, skipped: 0 });
  deepStrictEqual(tallyVitest(report({ numPassedTests: 5 }), false), { passed: 5, failed: 1, skipped: 0 });
  deepStrictEqual(tallyVitest(undefined, true), { passed: 0, failed: 1, skipped: 0 });
});

test('other runners are counted by their closing line, by TAP, or as one test', () => {
  deepStrictEqual(tallyOutput('ok\n12 passed, 0 failed, 1 skipped\n', true), {
    passed: 12,
    failed: 0,
    skipped: 1,
  });
  deepStrictEqual(
    tallyOutput('# tests 3\n# pass 2\n# fail 1\n# cancelled 0\n# skipped 0\n# todo 0\n', false),
    {
      passed: 2,
      failed: 1,
      skipped: 0,
    },
  );
  deepStrictEqual(tallyOutput('whatever', true), { passed: 1, failed: 0, skipped: 0 });
  deepStrictEqual(tallyOutput('whatever', false), { passed: 0, failed: 1, skipped: 0 });
  deepStrictEqual(tallyOutput('12 passed, 0 failed', false), { passed: 12, failed: 1, skipped: 0 });
});

test('the closing line names what was skipped only when something was', () => {
  const sum = addTallies([
    { passed: 1, failed: 0, skipped: 0 },
    { passed: 2, failed: 3, skipped: 4 },
  ]);
  strictEqual(closingLine(sum), '3 passed, 3 failed, 4 skipped');
  strictEqual(closingLine({ passed: 1, failed: 0, skipped: 0 }), '1 passed, 0 failed');
});

test('what failed is told with its file, its name and the first lines of why', () => {
  const text = report({
    testResults: [
      {
        name: '/here/a.test.ts',
        status: 'failed',
        assertionResults: [
          { status: 'passed', fullName: 'holds' },
          {
            status: 'failed',
            fullName: 'group breaks',
            failureMessages: ['Error: 1 is not 2\n\n    at a.test.ts:3'],
          },
        ],
      },
      { name: '/here/b.test.ts', status: 'failed', message: 'cannot be loaded', assertionResults: [] },
      {
        name: '/here/c.test.ts',
        status: 'passed',
        assertionResults: [{ status: 'passed', fullName: 'holds' }],
      },
    ],
  });
  deepStrictEqual(failuresOfVitest(text), [
    '/here/a.test.ts › group breaks\n    Error: 1 is not 2\n    at a.test.ts:3',
    '/here/b.test.ts\n    cannot be loaded',
  ]);
  deepStrictEqual(failuresOfVitest(undefined), ['vitest left no report']);
});
