import type { SandboxInfo } from '@dormouse/sdk';
import type { Command } from 'commander';
import { type ConnectionFlags, keyValue } from './options.js';

interface ListFlags extends ConnectionFlags {
  readonly state?: string;
  readonly metadata?: Record<string, string>;
  readonly quiet?: boolean;
}

export function addSandboxList(leaf: (name: string) => Command): void {
  leaf('ls')
    .alias('list')
    .description('list sandboxes')
    .option('--state <state>', 'only those in this state: running, error …')
    .option('--metadata <key=value>', 'only those with this label; repeatable', keyValue)
    .option('-q, --quiet', 'print ids alone')
    .action(async (flags: ListFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine, answerTable } = await import('../terminal/answer.js');
      const { parseState } = await import('../sandbox/state.js');
      const sandboxes: SandboxInfo[] = [];
      const filter = { state: parseState(flags.state), metadata: flags.metadata };
      for await (const sandbox of connect(flags).sandboxes.list(filter)) sandboxes.push(sandbox);
      if (flags.json) {
        answerJson(sandboxes);
      } else if (flags.quiet) {
        for (const { id } of sandboxes) answerLine(id);
      } else {
        const { sandboxRows } = await import('../sandbox/rows.js');
        answerTable(
          ['ID', 'STATE', 'TEMPLATE', 'VCPUS', 'MEMORY', 'AGE', 'LABELS'],
          sandboxRows(sandboxes, Date.now()),
        );
      }
    });
}
