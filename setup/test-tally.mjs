import { readFileSync } from 'node:fs';

/**
 * @typedef {object} Tally
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 */

/**
 * What a vitest run amounts to, from its JSON report. A test file that could not even be loaded, or a run that
 * failed outside of any test, counts as one failure, so that it is never mistaken for success.
 *
 * @param {string | undefined} report the JSON text; undefined when vitest left none
 * @param {boolean} succeeded whether vitest ended with 0
 * @returns {Tally}
 */
export function tallyVitest(report, succeeded) {
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0 };
  const result = JSON.parse(report);
  const brokenFiles = (result.testResults ?? []).filter(
    (/** @type {{ status: string, assertionResults: unknown[] }} */ file) =>
      file.status === 'failed' && file.assertionResults.length === 0,
  ).length;
  const failed = Number(result.numFailedTests) + brokenFiles;
  return {
    passed: Number(result.numPassedTests),
    failed: failed === 0 && !succeeded ? 1 : failed,
    skipped: Number(result.numPendingTests) + Number(result.numTodoTests ?? 0),
  };
}

/** Lines of what a failed test said that are repeated at the end. */
const SHOWN_LINES = 6;

/**
 * What failed, a paragraph each: file, name and the first lines of why. Whoever keeps only the end of a long output
 * still learns it.
 *
 * @param {string | undefined} report the JSON text; undefined when vitest left none
 * @returns {readonly string[]}
 */
export function failuresOfVitest(report) {
  if (report === undefined) return ['vitest left no report'];
  return (JSON.parse(report).testResults ?? []).flatMap(
    (
      /** @type {{ name: string, status: string, message?: string, assertionResults: Assertion[] }} */ file,
    ) => {
      const failed = file.assertionResults.filter(({ status }) => status === 'failed');
      if (failed.length === 0 && file.status === 'failed') return [paragraph(file.name, file.message)];
      return failed.map((test) => paragraph(`${file.name} › ${test.fullName}`, test.failureMessages?.[0]));
    },
  );
}

/** @typedef {{ status: string, fullName: string, failureMessages?: string[] }} Assertion */

/**
 * @param {string} title
 * @param {string | undefined} message
 * @returns {string}
 */
function paragraph(title, message) {
  const lines = (message ?? '').split('\n').filter((line) => line.trim() !== '');
  return [title, ...lines.slice(0, SHOWN_LINES).map((line) => `    ${line.trim()}`)].join('\n');
}

/**
 * What another runner's output amounts to: its own closing counts where it prints them (`N passed, N failed`, or
 * the `# pass N` of TAP), else one test for the whole run.
 *
 * @param {string} output
 * @param {boolean} succeeded whether the runner ended with 0
 * @returns {Tally}
 */
export function tallyOutput(output, succeeded) {
  const plain = [...output.matchAll(/(\d+) passed, (\d+) failed(?:, (\d+) skipped)?/g)].at(-1);
  const tap = (/** @type {string} */ name) =>
    Number(output.match(new RegExp(`^[#ℹ] ${name} (\\d+)$`, 'm'))?.[1] ?? 0);
  let tally = {
    passed: tap('pass'),
    failed: tap('fail') + tap('cancelled'),
    skipped: tap('skipped') + tap('todo'),
  };
  if (plain) tally = { passed: Number(plain[1]), failed: Number(plain[2]), skipped: Number(plain[3] ?? 0) };
  if (tally.passed + tally.failed + tally.skipped === 0) tally.passed = succeeded ? 1 : 0;
  if (tally.failed === 0 && !succeeded) tally.failed = 1;
  return tally;
}

/**
 * @param {readonly Tally[]} tallies
 * @returns {Tally}
 */
export function addTallies(tallies) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const tally of tallies) {
    sum.passed += tally.passed;
    sum.failed += tally.failed;
    sum.skipped += tally.skipped;
  }
  return sum;
}

/**
 * The closing line of a test run.
 *
 * @param {Tally} tally
 * @returns {string}
 */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/**
 * @param {string} path
 * @returns {string | undefined}
 */
export function readReport(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
