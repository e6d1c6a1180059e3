import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { assetsDisk, checkoutTar, modulesDisk } from './lab-disks.mjs';
import { consoleTail, labArguments, runLabHost } from './lab-machine.mjs';
import { runOwned } from './lab-process.mjs';
import { isRootCurrent, labRoot, makeRoot } from './lab-root.mjs';
import { takeLock } from './lock.mjs';
import { createProgress } from './progress.mjs';
import { SetupError } from './setup-error.mjs';
import { closingLine, readReport, tallyVitest } from './test-tally.mjs';

/** What shows that driver, pause, resume and fork work under KVM; other tests by naming them. */
export const TESTS = [
  'packages/vmm/src/qemu/driver.vm.test.ts',
  'packages/sandbox/src/scenarios/boots.vm.test.ts',
  'packages/sandbox/src/host/sandbox-host.vm.test.ts',
  'packages/sandbox/src/scenarios/integrity.vm.test.ts',
  'packages/sandbox/src/scenarios/ready.vm.test.ts',
];
/** Real KVM, but at a twentieth of a processor's speed: few repetitions, and much patience. */
const FEW = { BOOTS: '2', DORMOUSE_CYCLES: '3', DORMOUSE_LAB: '1' };
const TEST_TIMEOUT_MS = 20 * 60_000;
const LIMIT_SECONDS = 90 * 60;
/** A template is made from packages of a mirror, if it is not there yet. */
const PREPARE_LIMIT_SECONDS = 40 * 60;

/**
 * Runs tests with virtual machines under real KVM, in a lab host: a Debian in QEMU's emulation of a processor that
 * can virtualise. Prints the counts as the very last line.
 *
 * @param {string} root of the checkout
 * @param {readonly string[]} patterns of test files; none means the lab's own selection
 * @returns {Promise<number>} the exit code
 */
export async function runLab(root, patterns) {
  if (process.getuid?.() !== 0) {
    throw new SetupError('the lab host can only be made by root: mmdebstrap unpacks Debian packages', {
      code: 'not_permitted',
      exitCode: 4,
      suggestion: 'Run as root: ./dormouse test --lab',
    });
  }
  const dir = join(root, '.dormouse', 'lab');
  mkdirSync(dir, { recursive: true });
  const progress = createProgress(process.stderr);
  const unlock = await takeLock(join(dir, 'lock'), () => {
    progress.note('Another lab is at work here; waiting for it …');
  });
  try {
    for (const name of readdirSync(dir)) {
      if (name.startsWith('tmp-')) rmSync(join(dir, name), { recursive: true, force: true });
    }
    const disks = await prepareLab(root, dir, progress, patterns);
    return await testInLab(dir, disks);
  } finally {
    await unlock();
  }
}

/**
 * @param {string} root
 * @param {string} dir
 * @param {ReturnType<typeof createProgress>} progress
 * @param {readonly string[]} patterns
 * @returns {Promise<readonly string[]>} the disks besides the root's
 */
async function prepareLab(root, dir, progress, patterns) {
  const assets = process.env.DORMOUSE_ASSETS_DIR ?? join(root, '.dormouse', 'assets');
  mkdirSync(assets, { recursive: true });
  const prepare = ['apps/host-agent/dist/prepare.js', '--assets', assets, '--template', 'base'];
  /** @type {(title: string, act: (onLine: (line: string) => void) => Promise<unknown>) => Promise<void>} */
  const step = async (title, act) => {
    const shown = progress.start(title);
    try {
      await act((line) => shown.update(line));
    } catch (error) {
      shown.fail();
      throw error;
    }
    shown.done();
  };
  await step('Prepare kernel and template', (onLine) =>
    runOwned(process.execPath, prepare, {
      cwd: root,
      what: 'preparing kernel and template',
      suggestion: 'Run `./dormouse doctor`: it names what is missing.',
      limitSeconds: PREPARE_LIMIT_SECONDS,
      onLine,
    }),
  );
  if (!isRootCurrent(dir)) await step('Make the lab host', (onLine) => makeRoot(dir, onLine));
  const disks = [modulesDisk(dir, root), assetsDisk(dir, assets)];
  for (const disk of disks) {
    if (!disk.isCurrent()) await step(disk.title, () => disk.make());
  }
  const plan = { patterns: patterns.length > 0 ? patterns : TESTS, testTimeoutMs: TEST_TIMEOUT_MS, env: FEW };
  let checkout = '';
  await step('Pack the checkout', async () => {
    checkout = await checkoutTar(dir, root, plan);
  });
  return [checkout, ...disks.map((disk) => disk.path)];
}

/**
 * @param {string} dir
 * @param {readonly string[]} disks
 * @returns {Promise<number>} the exit code
 */
async function testInLab(dir, disks) {
  const files = { console: join(dir, 'console.log'), result: join(dir, 'result.json') };
  for (const path of Object.values(files)) rmSync(path, { force: true });
  process.stdout.write('\n── lab host: tests under KVM\n');
  const begin = performance.now();
  await runLabHost(labArguments(labRoot(dir), disks, files), {
    dir,
    limitSeconds: LIMIT_SECONDS,
    onOutput: (text) => process.stdout.write(text),
  });
  const text = existsSync(files.result) ? readReport(files.result) : undefined;
  if (!text) throw new SetupError('the lab host ended without a result', { output: consoleTail(dir) });
  /** @type {import('./lab-inside.mjs').LabResult} */
  const { before, after, succeeded, report } = JSON.parse(text);
  for (const verdict of [before, after]) {
    if (verdict?.usable === true) continue;
    throw new SetupError(
      `the tests did not run under KVM: ${verdict?.reason ?? 'the lab host gave no verdict'}`,
    );
  }
  const tally = tallyVitest(report, succeeded);
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  process.stdout.write(
    `\n${tally.failed === 0 ? '✓' : '✗'} under KVM, in the lab host (${seconds} s)\n${closingLine(tally)}\n`,
  );
  return tally.failed === 0 ? 0 : 1;
}
