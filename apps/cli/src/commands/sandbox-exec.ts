import type { Command } from 'commander';
import { type ConnectionFlags, keyValue, secondsAsMs } from './options.js';

interface ExecFlags extends ConnectionFlags {
  readonly user?: string;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly timeout?: number;
  readonly tty?: boolean;
  readonly stdin: boolean;
}

interface ShellFlags extends ConnectionFlags {
  readonly user?: string;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

export function addSandboxExec(leaf: (name: string) => Command): void {
  leaf('exec <id> <command...>')
    .description('run a command; its exit code becomes ours')
    .option('--user <user>', 'who runs it')
    .option('--cwd <dir>', "working directory (default: the user's home)")
    .option('--env <key=value>', 'environment variable; repeatable', keyValue)
    .option('--timeout <seconds>', 'kill it after this long', secondsAsMs)
    .option('-t, --tty', 'give it a terminal')
    .option('-n, --no-stdin', 'give it no input')
    .addHelpText('after', '\nOne word is a command line for bash; several are a program and its arguments.')
    .action(async (id: string, words: readonly string[], flags: ExecFlags) => {
      const { connect } = await import('../connection.js');
      const sandbox = await connect(flags).sandboxes.connect(id);
      const { user, cwd, env: envs } = flags;
      const [cmd = '', ...args] = words;
      const command = { cmd, ...(words.length > 1 ? { args } : {}), user, cwd, envs };
      if (flags.json) {
        const { answerJson } = await import('../terminal/answer.js');
        const result = await sandbox.exec(command, { timeoutMs: flags.timeout });
        answerJson(result);
        process.exitCode = result.exitCode;
        return;
      }
      const { execHere } = await import('../sandbox/exec.js');
      const { timeout: timeoutMs, stdin, tty = false } = flags;
      process.exitCode = await execHere({ sandbox, command, timeoutMs, stdin, tty });
    });

  leaf('shell [id]')
    .description('open a shell; `exit` or Ctrl-D leaves it')
    .option('--user <user>', 'whose shell')
    .option('--cwd <dir>', "working directory (default: the user's home)")
    .option('--env <key=value>', 'environment variable; repeatable', keyValue)
    .action(async (id: string | undefined, flags: ShellFlags) => {
      const { connect } = await import('../connection.js');
      const { chooseSandbox } = await import('../sandbox/choose.js');
      const { execHere } = await import('../sandbox/exec.js');
      const client = connect(flags);
      const sandbox = await client.sandboxes.connect(await chooseSandbox(client, id));
      const envs = { TERM: process.env.TERM ?? 'xterm-256color', ...flags.env };
      const command = { cmd: '/bin/bash', args: ['-l'], user: flags.user, cwd: flags.cwd, envs };
      process.exitCode = await execHere({ sandbox, command, stdin: true, tty: true });
    });
}
