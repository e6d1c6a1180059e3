import type { Command } from 'commander';
import { type ConnectionFlags, withConnection } from './options.js';

export function addUsage(program: Command): void {
  withConnection(program.command('usage'))
    .description('show what the team has, and what it may have')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const usage = await connect(flags).usage();
      if (flags.json) return answerJson(usage);
      const { humanBytes } = await import('../terminal/human.js');
      const row = (what: string, { used, limit }: typeof usage.running, text: (n: number) => string) => [
        what,
        text(used),
        limit === null ? 'no limit' : text(limit),
      ];
      answerTable(
        ['WHAT', 'USED', 'LIMIT'],
        [
          row('running sandboxes', usage.running, String),
          row('paused sandboxes', usage.paused, String),
          row('snapshots', usage.snapshotBytes, humanBytes),
        ],
      );
    });
}
