import type { Command } from 'commander';
import type { ConnectionFlags } from './options.js';

interface CopyFlags extends ConnectionFlags {
  readonly user?: string;
}

export function addSandboxCopy(leaf: (name: string) => Command): void {
  leaf('cp <source> <destination>')
    .description('copy a file or directory; one side is ID:PATH, - is stdin or stdout')
    .option('--user <user>', 'whose rights count in the sandbox')
    .action(async (source: string, destination: string, flags: CopyFlags) => {
      const { planCopy } = await import('../sandbox/copy-location.js');
      const plan = planCopy(source, destination);
      const { connect } = await import('../connection.js');
      const { copy } = await import('../sandbox/copy.js');
      const id = plan.direction === 'upload' ? plan.to.id : plan.from.id;
      const sandbox = await connect(flags).sandboxes.connect(id);
      const begin = performance.now();
      const result = await copy(plan, sandbox.files, flags.user);
      const durationMs = Math.round(performance.now() - begin);
      const { humanBytes, humanMs } = await import('../terminal/human.js');
      const { printable } = await import('../terminal/printable.js');
      if (plan.direction === 'download' && plan.to.kind === 'stream') return;
      if (flags.json) {
        const { answerJson } = await import('../terminal/answer.js');
        answerJson({ ...result, durationMs });
        return;
      }
      for (const path of result.skipped)
        process.stderr.write(`left out ${printable(path)}: no file or directory\n`);
      const files = result.files === 1 ? '1 file' : `${result.files} files`;
      process.stderr.write(`${files}, ${humanBytes(result.bytes)} in ${humanMs(durationMs)}\n`);
    });
}
