import type { ProcessInfo } from '@dormouse/sdk';
import type { Command } from 'commander';
import { type ConnectionFlags, wholeNumber } from './options.js';

interface MetricsFlags extends ConnectionFlags {
  readonly last: number;
}

interface LogsFlags extends ConnectionFlags {
  readonly bytes?: number;
}

const DEFAULT_MINUTES = 10;
const MS_PER_MINUTE = 60_000;

export function addSandboxLook(leaf: (name: string) => Command): void {
  leaf('info <id>')
    .description('show a sandbox')
    .action(async (id: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const info = await connect(flags).sandboxes.info(id);
      if (flags.json) return answerJson(info);
      const { infoRows } = await import('../sandbox/rows.js');
      answerTable(['WHAT', 'VALUE'], infoRows(info));
    });

  leaf('ps <id>')
    .description('list the processes started in a sandbox')
    .action(async (id: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const sandbox = await connect(flags).sandboxes.connect(id);
      const processes: ProcessInfo[] = [];
      for await (const process of sandbox.processes.list()) processes.push(process);
      if (flags.json) return answerJson(processes);
      const { processRows } = await import('../sandbox/rows.js');
      answerTable(['PID', 'STATE', 'USER', 'AGE', 'TAG', 'COMMAND'], processRows(processes, Date.now()));
    });

  leaf('metrics <id>')
    .description('show what a sandbox was doing while it ran, oldest first')
    .option(
      '--last <minutes>',
      'how far back; of a paused one, before it was paused',
      wholeNumber(1, Number.MAX_SAFE_INTEGER / MS_PER_MINUTE),
      DEFAULT_MINUTES,
    )
    .action(async (id: string, flags: MetricsFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const { metricsRows, newestPoints } = await import('../sandbox/metrics-rows.js');
      const sandbox = await connect(flags).sandboxes.connect(id);
      const points = newestPoints(await sandbox.metrics(), flags.last * MS_PER_MINUTE);
      if (flags.json) return answerJson(points);
      answerTable(['AT', 'CPU', 'MEMORY', 'DISK', 'PROCESSES'], metricsRows(points));
    });

  leaf('logs <id>')
    .description('show the newest part of the console')
    .option('--bytes <count>', 'most bytes to show', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .action(async (id: string, flags: LogsFlags) => {
      const { connect } = await import('../connection.js');
      const sandbox = await connect(flags).sandboxes.connect(id);
      const console = await sandbox.logs({ maxBytes: flags.bytes });
      if (flags.json) {
        const { answerJson } = await import('../terminal/answer.js');
        answerJson({ console });
        return;
      }
      const { printable } = await import('../terminal/printable.js');
      for (const line of console.split(/\r?\n/)) process.stdout.write(`${printable(line)}\n`);
    });
}
