import { type Command, Option } from 'commander';
import { type ConnectionFlags, keyValue, secondsAsMs, wholeNumber } from './options.js';

interface CreateFlags extends ConnectionFlags {
  readonly template: string;
  readonly vcpus?: number;
  readonly memory?: number;
  readonly timeout?: number;
  readonly onTimeout?: 'pause' | 'kill';
  readonly onMemoryLoss?: 'reboot' | 'fail';
  readonly env?: Record<string, string>;
  readonly metadata?: Record<string, string>;
  readonly internet: boolean;
  readonly name?: string;
  readonly quiet?: boolean;
}

export function addSandboxCreate(leaf: (name: string) => Command): void {
  leaf('create')
    .description('make a sandbox and wait until it runs')
    .option('--template <name>', 'template, or name or id of a snapshot', 'base')
    .option(
      '--vcpus <count>',
      "virtual CPUs (default: the template's)",
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option(
      '--memory <mib>',
      "memory in MiB (default: the template's)",
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option('--timeout <seconds>', 'seconds without use until it is paused (default: never)', secondsAsMs)
    .addOption(
      new Option('--on-timeout <what>', 'what happens then (default: pause)').choices(['pause', 'kill']),
    )
    .addOption(
      new Option('--on-memory-loss <what>', 'when its memory is damaged (default: reboot)').choices([
        'reboot',
        'fail',
      ]),
    )
    .option('--env <key=value>', 'environment variable; repeatable', keyValue)
    .option('--metadata <key=value>', 'label to find it by; repeatable', keyValue)
    .option('--no-internet', 'without access to the internet')
    .option('--name <name>', 'the label `name`, shown by `sandbox ls`')
    .option('-q, --quiet', 'print the id alone')
    .action(async (flags: CreateFlags) => {
      const [{ connect }, { answerJson, answerLine }] = await Promise.all([
        import('../connection.js'),
        import('../terminal/answer.js'),
      ]);
      const { shownStep } = await import('../terminal/steps.js');
      const client = connect(flags);
      const make = () =>
        client.sandboxes.create({
          template: flags.template,
          vcpus: flags.vcpus,
          memoryMb: flags.memory,
          timeoutSec: flags.timeout === undefined ? undefined : Math.ceil(flags.timeout / 1000),
          onTimeout: flags.onTimeout,
          onMemoryLoss: flags.onMemoryLoss,
          envs: flags.env,
          metadata: flags.name === undefined ? flags.metadata : { ...flags.metadata, name: flags.name },
          internet: flags.internet,
        });
      const sandbox = await shownStep(flags, 'Make a sandbox', make);
      if (flags.json) answerJson(sandbox.info);
      else answerLine(sandbox.id);
    });
}
