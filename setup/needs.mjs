/**
 * What must be in place before a command can run.
 *
 * @typedef {object} Needs
 * @property {'none' | 'runtime' | 'test'} packages which Debian packages
 * @property {'cli' | 'all'} build which TypeScript projects
 * @property {boolean} guest the guest agent
 */

/** A client of a server that may run elsewhere: needs the command line alone. */
const CLIENT = Object.freeze({ packages: 'none', build: 'cli', guest: false });
/** Runs sandboxes on this machine. */
const HOST = Object.freeze({ packages: 'runtime', build: 'all', guest: true });
/** Looks at this machine and must say what is missing, so it installs nothing. */
const LOOK = Object.freeze({ packages: 'none', build: 'all', guest: false });
const TEST = Object.freeze({ packages: 'test', build: 'all', guest: true });

/**
 * @param {import('./arguments.mjs').Invocation} invocation
 * @returns {Needs}
 */
export function needsOf({ command, subcommand, help }) {
  if (help) return CLIENT;
  if (command === 'up' || command === 'demo' || command === 'bench') return HOST;
  if (command === 'template' && subcommand === 'build') return HOST;
  if (command === 'doctor') return LOOK;
  if (command === 'test') return TEST;
  return CLIENT;
}
