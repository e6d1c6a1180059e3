import { Command } from 'commander';
import { checkoutVersion } from './checkout.js';
import { addUp } from './commands/up.js';

/** The whole command tree. Commands load what they need when they run, so that `--help` is quick. */
export function buildProgram(): Command {
  const program = new Command('dormouse')
    .description('microVM sandboxes that sleep instead of dying')
    .version(checkoutVersion())
    .enablePositionalOptions()
    .showHelpAfterError('(--help shows what there is)');
  addUp(program);
  program.exitOverride();
  return program;
}
