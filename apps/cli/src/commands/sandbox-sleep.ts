import type { SandboxInfo } from '@dormouse/sdk';
import { type Command, Option } from 'commander';
import { type ConnectionFlags, secondsAsMs, wholeNumber } from './options.js';

const MAX_CHILDREN = 100;

interface PauseFlags extends ConnectionFlags {
  readonly memory: boolean;
}

interface ResumeFlags extends ConnectionFlags {
  readonly timeout?: number;
  readonly reboot?: boolean;
  readonly onMemoryLoss?: 'reboot' | 'fail';
}

interface ForkFlags extends ConnectionFlags {
  readonly count: number;
  readonly timeout?: number;
}

export function addSandboxSleep(leaf: (name: string) => Command): void {
  leaf('pause <id...>')
    .description('put sandboxes to sleep: what runs in them is kept, and nothing of it is left running')
    .option('--no-memory', 'keep the disk alone: processes are lost, and the next start is a boot')
    .action(async (ids: readonly string[], flags: PauseFlags) => {
      const { connect } = await import('../connection.js');
      const { changeEach } = await import('../sandbox/change-each.js');
      const client = connect(flags);
      const pause = async (id: string): Promise<SandboxInfo> =>
        (await client.sandboxes.connect(id)).pause({ memory: flags.memory });
      await changeEach(ids, flags, 'Pause', pause, ({ id }) => id);
    });

  leaf('resume <id...>')
    .description('wake paused sandboxes where they were')
    .option(
      '--timeout <seconds>',
      'seconds without use until they are paused again (default: as before)',
      secondsAsMs,
    )
    .option('--reboot', 'boot from the disk instead: processes are lost, files stay')
    .addOption(
      new Option('--on-memory-loss <what>', 'when its memory is damaged (default: as before)').choices([
        'reboot',
        'fail',
      ]),
    )
    .action(async (ids: readonly string[], flags: ResumeFlags) => {
      const { connect } = await import('../connection.js');
      const { changeEach, resumedLine } = await import('../sandbox/change-each.js');
      const client = connect(flags);
      const { reboot, onMemoryLoss } = flags;
      const options = { timeoutSec: inSeconds(flags.timeout), reboot, onMemoryLoss };
      const resume = async (id: string): Promise<SandboxInfo> =>
        (await client.sandboxes.connect(id)).resume(options);
      await changeEach(ids, flags, 'Resume', resume, resumedLine);
    });

  leaf('fork <id>')
    .description('make sandboxes that begin where this one is now; it goes on as it was')
    .option('--count <number>', 'how many', wholeNumber(1, MAX_CHILDREN), 1)
    .option(
      '--timeout <seconds>',
      'seconds without use until they are paused (default: as the source)',
      secondsAsMs,
    )
    .action(async (id: string, flags: ForkFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const { shownStep } = await import('../terminal/steps.js');
      const sandbox = await connect(flags).sandboxes.connect(id);
      const children = await shownStep(flags, `Fork ${id}`, () =>
        sandbox.fork(flags.count, { timeoutSec: inSeconds(flags.timeout) }),
      );
      const made = children.flatMap((child) => (child.sandbox === undefined ? [] : [child.sandbox]));
      const failed = children.flatMap((child) => (child.error === undefined ? [] : [child.error]));
      if (flags.json) {
        const errors = failed.map(({ code, message }) => ({ code, message }));
        answerJson({ sandboxes: made.map(({ info }) => info), errors });
      } else {
        for (const child of made) answerLine(child.id);
      }
      // The others run all the same; the first failure says what is wrong.
      for (const error of failed) throw error;
    });
}

function inSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.ceil(ms / 1000);
}
