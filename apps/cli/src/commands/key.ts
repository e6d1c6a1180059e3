import type { ApiKey } from '@dormouse/sdk';
import type { Command } from 'commander';
import { type ConnectionFlags, withConnection } from './options.js';

export function addKey(program: Command): void {
  const key = program.command('key').description('API keys');

  withConnection(key.command('ls'))
    .alias('list')
    .description('list keys')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const keys: ApiKey[] = [];
      for await (const item of connect(flags).apiKeys.list()) keys.push(item);
      if (flags.json) return answerJson(keys);
      const { humanAge } = await import('../terminal/human.js');
      const ago = (time: string | null): string =>
        time === null ? 'never' : `${humanAge(time, Date.now())} ago`;
      const rows = keys.map((item) => [
        item.id,
        item.name,
        item.prefix,
        ago(item.createdAt),
        ago(item.lastUsedAt),
      ]);
      answerTable(['ID', 'NAME', 'BEGINS', 'MADE', 'USED'], rows);
    });

  withConnection(key.command('create <name>'))
    .description('make a key; it is shown this once')
    .action(async (name: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const created = await connect(flags).apiKeys.create(name);
      if (flags.json) answerJson(created);
      else answerLine(created.key);
    });

  withConnection(key.command('rm <id...>'))
    .description('revoke keys')
    .action(async (ids: readonly string[], flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const client = connect(flags);
      for (const id of ids) {
        await client.apiKeys.remove(id);
        if (!flags.json) answerLine(id);
      }
      if (flags.json) answerJson({ removed: ids });
    });
}
