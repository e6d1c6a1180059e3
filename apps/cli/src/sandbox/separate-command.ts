import type { Command } from 'commander';

/**
 * The words of `sandbox exec ID [options] [--] CMD …` with `--` before CMD, so that its options are its own:
 * `exec ID ls -la` and `exec ID --user root -- ls -la` both mean what they look like.
 *
 * @param args without the program
 */
export function separateCommand(args: readonly string[], program: Command): readonly string[] {
  if (args[0] !== 'sandbox' || args[1] !== 'exec') return args;
  const exec = program.commands
    .find((command) => command.name() === 'sandbox')
    ?.commands.find((command) => command.name() === 'exec');
  let operands = 0;
  for (let index = 2; index < args.length; index++) {
    const word = args[index] ?? '';
    if (word === '--') return args;
    if (word.startsWith('-') && word !== '-') {
      const option = exec?.options.find(({ long, short }) => word === long || word === short);
      if (option?.required) index += 1;
      continue;
    }
    operands += 1;
    if (operands === 2) return [...args.slice(0, index), '--', ...args.slice(index)];
  }
  return args;
}
