import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runLab } from './lab.mjs';
import {
  addTallies,
  closingLine,
  failuresOfVitest,
  readReport,
  tallyOutput,
  tallyVitest,
} from './test-tally.mjs';

/**
 * @typedef {object} Suite
 * @property {string} title
 * @property {() => Promise<Outcome>} run
 */

/** @typedef {import('./test-tally.mjs').Tally & { failures?: readonly string[] }} Outcome what failed, a paragraph each */

/** Static checks of the `check` script, each counted as one test. The build itself has happened by now. */
const STATIC_CHECKS = ['lint', 'boundaries', 'unused'];

/** Whole-system projects of vitest.config.ts; they need a kernel, a template and real virtual machines. */
const SYSTEM_PROJECTS = ['vm', 'e2e'];

/**
 * Runs every test and prints the counts as the very last line.
 *
 * @param {string} root
 * @param {readonly string[]} args patterns of test files; none means everything, static checks included. `--lab`:
 *   tests with virtual machines instead, in a lab host that has KVM
 * @returns {Promise<number>} the exit code
 */
export async function runTests(root, args) {
  const patterns = args.filter((arg) => !arg.startsWith('-'));
  if (args.includes('--lab')) return await runLab(root, patterns);
  const suites = [
    ...(patterns.length === 0 ? [...staticSuites(root), guestSuite(root), setupSuite(root)] : []),
    vitestSuite(root, 'unit', patterns),
    vitestSuite(root, 'services', patterns),
    ...systemSuites(root, patterns),
  ];
  /** @type {{ title: string, tally: Outcome, seconds: number }[]} */
  const results = [];
  for (const { title, run } of suites) {
    process.stdout.write(`\n── ${title}\n`);
    const begin = performance.now();
    const tally = await run();
    results.push({ title, tally, seconds: (performance.now() - begin) / 1000 });
  }
  const total = addTallies(results.map(({ tally }) => tally));
  process.stdout.write('\n');
  for (const { title, tally } of results) {
    for (const failure of tally.failures ?? []) process.stdout.write(`✗ ${title}: ${failure}\n\n`);
  }
  for (const { title, tally, seconds } of results) {
    const mark = tally.failed === 0 ? '✓' : '✗';
    process.stdout.write(`${mark} ${title.padEnd(28)} ${closingLine(tally)} (${seconds.toFixed(1)} s)\n`);
  }
  process.stdout.write(`${closingLine(total)}\n`);
  return total.failed === 0 ? 0 : 1;
}

/**
 * @param {string} root
 * @returns {readonly Suite[]}
 */
function staticSuites(root) {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const checks = STATIC_CHECKS.filter((name) => Object.hasOwn(scripts, name)).map((name) => ({
    title: `static: ${name}`,
    run: async () => tallyOutput('', (await show(root, 'npm', ['run', '--silent', name])).succeeded),
  }));
  return [...checks, setupTypes(root)];
}

/**
 * @param {string} root
 * @returns {Suite}
 */
function setupTypes(root) {
  const args = ['node_modules/typescript/bin/tsc', '-p', 'setup'];
  return {
    title: 'static: types of setup',
    run: async () => tallyOutput('', (await show(root, process.execPath, args)).succeeded),
  };
}

/**
 * @param {string} root
 * @returns {Suite}
 */
function guestSuite(root) {
  return {
    title: 'guest agent',
    run: async () => {
      const { output, succeeded } = await show(root, 'make', ['-C', 'guest', 'test']);
      return tallyOutput(output, succeeded);
    },
  };
}

/**
 * Setup runs before anything is installed, and so do its tests.
 *
 * @param {string} root
 * @returns {Suite}
 */
function setupSuite(root) {
  return {
    title: 'setup',
    run: async () => {
      const files = readdirSync(join(root, 'setup')).filter((name) => name.endsWith('.test.mjs'));
      const args = ['--test', '--test-reporter=tap', ...files.map((name) => join('setup', name))];
      const { output, succeeded } = await show(root, process.execPath, args);
      return tallyOutput(output, succeeded);
    },
  };
}

/**
 * @param {string} root
 * @param {string} project
 * @param {readonly string[]} patterns
 * @param {Record<string, string>} [env]
 * @returns {Suite}
 */
function vitestSuite(root, project, patterns, env = {}) {
  return {
    title: `vitest: ${project}`,
    run: async () => {
      const report = join(root, '.dormouse', 'test', `${project}.json`);
      rmSync(report, { force: true });
      mkdirSync(join(root, '.dormouse', 'test'), { recursive: true });
      const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
      const args = [
        'node_modules/vitest/vitest.mjs',
        'run',
        '--project',
        project,
        '--passWithNoTests',
        ...reporters,
      ];
      const { succeeded } = await show(root, process.execPath, [...args, ...patterns], env);
      const text = readReport(report);
      return { ...tallyVitest(text, succeeded), failures: failuresOfVitest(text) };
    },
  };
}

/**
 * The whole-system projects there are, with the assets they share prepared first.
 *
 * @param {string} root
 * @param {readonly string[]} patterns
 * @returns {readonly Suite[]}
 */
function systemSuites(root, patterns) {
  const config = readFileSync(join(root, 'vitest.config.ts'), 'utf8');
  const projects = SYSTEM_PROJECTS.filter((name) => new RegExp(`\\bname: ['"]${name}['"]`).test(config));
  if (projects.length === 0) return [];
  const assets = process.env.DORMOUSE_ASSETS_DIR ?? join(root, '.dormouse', 'assets');
  const env = { DORMOUSE_ASSETS_DIR: assets };
  return [
    {
      title: 'assets: kernel and template',
      run: async () => {
        mkdirSync(assets, { recursive: true });
        const prepare = join(root, 'apps/host-agent/dist/prepare.js');
        if (!existsSync(prepare)) return { passed: 0, failed: 1, skipped: 0 };
        const args = [prepare, '--assets', assets, '--template', 'base'];
        const { succeeded } = await show(root, process.execPath, args);
        return { passed: 0, failed: succeeded ? 0 : 1, skipped: 0 };
      },
    },
    ...projects.map((name) => vitestSuite(root, name, patterns, env)),
  ];
}

/**
 * Runs a tool with its output shown as it comes, and keeps the output.
 *
 * @param {string} cwd
 * @param {string} file
 * @param {readonly string[]} args
 * @param {Record<string, string>} [env]
 * @returns {Promise<{ output: string, succeeded: boolean }>}
 */
function show(cwd, file, args, env = {}) {
  const colour = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  const child = spawn(file, args, {
    cwd,
    env: { ...process.env, ...colour, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
    process.stdout.write(chunk);
  });
  // One stream for both, so that the order is kept and the counts stay the last line of what is printed.
  child.stderr.on('data', (chunk) => {
    output += chunk;
    process.stdout.write(chunk);
  });
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ output: `${output}\n${error.message}`, succeeded: false }));
    child.once('close', (code) => resolve({ output, succeeded: code === 0 }));
  });
}
