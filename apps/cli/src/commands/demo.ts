import type { Command } from 'commander';
import { type ConnectionFlags, withConnection } from './options.js';

export function addDemo(program: Command): void {
  withConnection(program.command('demo'))
    .description(
      'show what it does: a sandbox used, paused, resumed, kept and multiplied, with a timing table',
    )
    .option('-y, --yes', 'install missing Debian packages without asking')
    .action(async (flags: ConnectionFlags) => {
      const { runDemo } = await import('../demo/run-demo.js');
      await runDemo(flags);
    });
}
