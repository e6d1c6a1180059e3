/**
 * What setup must know of a command line; everything else is the command's own business.
 *
 * @typedef {object} Invocation
 * @property {string | undefined} command the first word that is not an option
 * @property {string | undefined} subcommand the second one
 * @property {boolean} yes install Debian packages without asking
 * @property {boolean} help help was asked for, so nothing will run
 * @property {readonly string[]} rest what follows the command
 */

/**
 * @param {readonly string[]} argv without the interpreter and script
 * @returns {Invocation}
 */
export function readInvocation(argv) {
  const end = argv.indexOf('--');
  const own = end === -1 ? argv : argv.slice(0, end);
  const words = own.filter((word) => !word.startsWith('-'));
  const command = words[0];
  return {
    command,
    subcommand: words[1],
    yes: own.includes('--yes') || own.includes('-y'),
    help: command === 'help' || own.includes('--help') || own.includes('-h'),
    rest: command === undefined ? [] : argv.slice(argv.indexOf(command) + 1),
  };
}
