import { DormouseError } from '@dormouse/errors';
import type { Command } from 'commander';

/** Known here for help and completion; the checkout's own entry runs them. */
export function addCheckoutCommands(program: Command): void {
  program
    .command('test [patterns...]')
    .description('run every test of this checkout, or the test files whose path holds a pattern')
    .action(() => refuse('tests are run'));
  program
    .command('bench')
    .description("measure this machine against the project's figures")
    .option('--json <file>', 'also write the figures to a file')
    .action(() => refuse('benchmarks are run'));
}

function refuse(what: string): never {
  throw new DormouseError('invalid_request', `${what} by the ./dormouse of a checkout`);
}
