import type { AuditEntry } from '@dormouse/sdk';
import type { Command } from 'commander';
import { type ConnectionFlags, wholeNumber, withConnection } from './options.js';

interface AuditFlags extends ConnectionFlags {
  readonly action?: string;
  readonly target?: string;
  readonly limit: number;
}

/** Most entries one command shows. */
const MAX_ENTRIES = 100_000;

export function addAudit(program: Command): void {
  const audit = program.command('audit').description('who did what in the team');

  withConnection(audit.command('ls'))
    .alias('list')
    .description('list what was done, newest first; for owners and admins')
    .option('--action <action>', 'only these, e.g. sandbox.create')
    .option('--target <id>', 'only what was done to this')
    .option('-n, --limit <count>', 'most entries to show', wholeNumber(1, MAX_ENTRIES), 100)
    .action(async ({ action, target, limit, ...flags }: AuditFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const entries: AuditEntry[] = [];
      for await (const entry of connect(flags).audit.list({ action, target })) {
        entries.push(entry);
        if (entries.length === limit) break;
      }
      if (flags.json) return answerJson(entries);
      const rows = entries.map(({ at, actor, action, target, details, address }) => [
        at,
        actor,
        action,
        target ?? '',
        Object.entries(details)
          .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(',') : String(value)}`)
          .join(' '),
        address ?? '',
      ]);
      answerTable(['WHEN', 'WHO', 'WHAT', 'WHICH', 'DETAILS', 'FROM'], rows);
    });
}
