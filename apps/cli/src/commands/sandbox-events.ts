import type { SandboxEvent } from '@dormouse/sdk';
import type { Command } from 'commander';
import { type ConnectionFlags, wholeNumber } from './options.js';

const DEFAULT_COUNT = 50;
const MAX_COUNT = 10_000;

interface EventsFlags extends ConnectionFlags {
  readonly follow?: boolean;
  readonly count: number;
}

export function addSandboxEvents(leaf: (name: string) => Command): void {
  leaf('ping <id...>')
    .description('count as use: they time out only when their whole time has passed again')
    .action(async (ids: readonly string[], flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { changeEach } = await import('../sandbox/change-each.js');
      const client = connect(flags);
      const ping = async (id: string) => {
        await (await client.sandboxes.connect(id)).ping();
        return client.sandboxes.info(id);
      };
      await changeEach(ids, flags, 'Ping', ping, ({ id }) => id);
    });

  leaf('events <id>')
    .description('show what happened to a sandbox, oldest first')
    .option('-f, --follow', 'go on as things happen, until interrupted or the sandbox is deleted')
    .option('--count <number>', 'at most so many of the newest', wholeNumber(0, MAX_COUNT), DEFAULT_COUNT)
    .action(async (id: string, flags: EventsFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const { eventLine } = await import('../sandbox/rows.js');
      const sandbox = await connect(flags).sandboxes.connect(id);
      const past: SandboxEvent[] = [];
      for await (const event of sandbox.pastEvents()) {
        past.unshift(event);
        if (past.length > flags.count) break;
      }
      const shown = past.slice(Math.max(0, past.length - flags.count));
      if (flags.json && !flags.follow) return answerJson(shown);
      const show = (event: SandboxEvent): void =>
        flags.json ? answerJson(event) : answerLine(eventLine(event));
      for (const event of shown) show(event);
      if (!flags.follow) return;
      for await (const event of sandbox.events({ after: past.at(-1)?.id ?? '0' })) show(event);
    });
}
