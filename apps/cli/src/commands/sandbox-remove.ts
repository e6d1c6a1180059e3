import type { Command } from 'commander';
import type { ConnectionFlags } from './options.js';

export function addSandboxRemove(leaf: (name: string) => Command): void {
  leaf('rm <id...>')
    .description('end sandboxes and free everything they had')
    .action(async (ids: readonly string[], flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const client = connect(flags);
      const outcomes = await Promise.allSettled(ids.map((id) => client.sandboxes.delete(id)));
      const removed = ids.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      if (flags.json) answerJson({ removed });
      else for (const id of removed) answerLine(id);
      // The others are gone all the same; the first failure says what is wrong.
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    });
}
