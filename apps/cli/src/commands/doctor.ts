import type { Command } from 'commander';
import { withJson } from './options.js';

export function addDoctor(program: Command): void {
  withJson(program.command('doctor'))
    .description('what this machine can do, and how to mend what it cannot')
    .option('--data <dir>', 'data directory (default: DORMOUSE_DATA, else /var/lib/dormouse)')
    .action(async (flags: { readonly data?: string; readonly json?: boolean }) => {
      const { dataDirectoryOf, dataPaths } = await import('../data-directory.js');
      const { runDoctor } = await import('../doctor/run-doctor.js');
      process.exitCode = await runDoctor(dataPaths(dataDirectoryOf(flags.data)), flags.json ?? false);
    });
}
