import { join } from 'node:path';
import { askYes } from './ask.mjs';
import { build, isBuildCurrent } from './build.mjs';
import {
  completePath,
  installPackages,
  missingPackages,
  notRootError,
  packagesOf,
} from './debian-packages.mjs';
import { buildGuest, isGuestCurrent } from './guest.mjs';
import { takeLock } from './lock.mjs';
import { areModulesCurrent, installModules } from './node-modules.mjs';
import { createProgress } from './progress.mjs';
import { SetupError } from './setup-error.mjs';

/**
 * @typedef {object} SetupStep
 * @property {string} title
 * @property {() => boolean} isDone cheap, so that a warm start stays fast
 * @property {() => Promise<void>} [permit] throws when the step may not be taken; before any progress is shown
 * @property {(onLine: (line: string) => void) => Promise<void>} act
 */

/**
 * Brings the checkout into the state a command needs. Every step is skipped when it is already done, and one
 * process at a time works on it.
 *
 * @param {string} root of the checkout
 * @param {import('./needs.mjs').Needs} needs
 * @param {{ yes: boolean }} options
 * @returns {Promise<void>}
 */
export async function prepareCheckout(root, needs, { yes }) {
  process.env.PATH = completePath(process.env.PATH);
  const steps = stepsFor(root, needs, yes);
  if (steps.every((step) => step.isDone())) return;

  const progress = createProgress(process.stderr);
  const unlock = await takeLock(join(root, '.dormouse', 'setup', 'lock'), () => {
    progress.note('Another dormouse command is setting things up; waiting for it …');
  });
  try {
    for (const step of steps) {
      if (step.isDone()) continue;
      await step.permit?.();
      const shown = progress.start(step.title);
      try {
        await step.act((line) => shown.update(line));
      } catch (error) {
        shown.fail();
        throw error;
      }
      shown.done();
    }
  } finally {
    await unlock();
  }
}

/**
 * @param {string} root
 * @param {import('./needs.mjs').Needs} needs
 * @param {boolean} yes
 * @returns {readonly SetupStep[]}
 */
function stepsFor(root, needs, yes) {
  /** @type {SetupStep[]} */
  const steps = [
    ...packageStep(root, packagesOf(needs.packages), yes),
    {
      title: 'Install npm packages',
      isDone: () => areModulesCurrent(root),
      act: (onLine) => installModules(root, onLine),
    },
    {
      title: needs.build === 'all' ? 'Build' : 'Build the command line',
      isDone: () => isBuildCurrent(root, needs.build),
      act: (onLine) => build(root, needs.build, onLine),
    },
  ];
  if (needs.guest) {
    steps.push({
      title: 'Build the guest agent',
      isDone: () => isGuestCurrent(root),
      act: (onLine) => buildGuest(root, onLine),
    });
  }
  return steps;
}

/**
 * @param {string} root
 * @param {readonly import('./debian-packages.mjs').DebianPackage[]} packages
 * @param {boolean} yes
 * @returns {readonly SetupStep[]}
 */
function packageStep(root, packages, yes) {
  const missing = () => missingPackages(packages, process.env.PATH ?? '');
  const names = () => missing().map(({ name }) => name);
  const first = names();
  if (first.length === 0) return [];
  return [
    {
      title: `Install Debian packages: ${first.join(' ')}`,
      isDone: () => missing().length === 0,
      permit: async () => {
        if (process.getuid?.() !== 0) throw notRootError(missing());
        const asks = process.stdin.isTTY && process.stderr.isTTY && !yes;
        if (asks && !(await askYes(`Install the Debian packages ${names().join(' ')}?`))) {
          throw new SetupError('cannot go on without these Debian packages', {
            code: 'missing_tool',
            exitCode: 4,
            suggestion: `Install them yourself: apt-get install ${names().join(' ')}`,
          });
        }
      },
      act: async (onLine) => {
        await installPackages(missing(), root, onLine);
        const still = missing();
        if (still.length === 0) return;
        const things = still.map(({ tool, file }) => tool ?? file).join(' ');
        throw new SetupError(`still missing after installing: ${things}`, {
          code: 'missing_tool',
          exitCode: 4,
          suggestion: `Try: apt-get install --reinstall ${still.map(({ name }) => name).join(' ')}`,
        });
      },
    },
  ];
}
