import { DormouseError } from '@dormouse/errors';
import type { Command } from 'commander';

/** Known here for help and completion; setup runs it before this program is even built. */
export function addTest(program: Command): void {
  program
    .command('test [patterns...]')
    .description('run every test of this checkout, or the test files whose path holds a pattern')
    .action(() => {
      throw new DormouseError('invalid_request', 'tests are run by the ./dormouse of a checkout');
    });
}
