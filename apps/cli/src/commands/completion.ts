import { Argument, type Command } from 'commander';

type Shell = 'bash' | 'zsh' | 'fish';

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      '\nbash and zsh: source <(dormouse completion bash)\nfish: dormouse completion fish | source',
    )
    .action(async (shell: Shell) => {
      const { commandTree } = await import('../completion/command-tree.js');
      const tree = commandTree(program);
      process.stdout.write(await render(shell, tree));
    });
}

async function render(
  shell: Shell,
  tree: Parameters<typeof import('../completion/bash.js').bashCompletion>[0],
): Promise<string> {
  switch (shell) {
    case 'bash':
      return (await import('../completion/bash.js')).bashCompletion(tree);
    case 'zsh':
      return (await import('../completion/zsh.js')).zshCompletion(tree);
    case 'fish':
      return (await import('../completion/fish.js')).fishCompletion(tree);
  }
}
