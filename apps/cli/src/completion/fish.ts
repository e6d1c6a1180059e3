import { type CompletionNode, listingCommand } from './command-tree.js';

/** A fish script: `dormouse completion fish | source`. */
export function fishCompletion(tree: readonly CompletionNode[]): string {
  const known = tree.filter(({ path }) => path.length > 0).map(({ path }) => quote(path.join(' ')));
  return `# fish completion of dormouse
function __dormouse_at
    set -l at
    for word in (commandline -opc)[2..-1]
        set -l next (string join ' ' $at $word)
        if contains -- $next ${known.join(' ')}
            set at $next
        end
    end
    test "$at" = "$argv[1]"
end
complete -c dormouse -e
${tree.flatMap((node) => branch(node, tree)).join('\n')}
`;
}

function branch(node: CompletionNode, tree: readonly CompletionNode[]): string[] {
  const at = `complete -c dormouse -n ${quote(`__dormouse_at ${quote(node.path.join(' '))}`)}`;
  const lines = node.subcommands.map((name) => {
    const description =
      tree.find(({ path }) => path.join(' ') === [...node.path, name].join(' '))?.description ?? '';
    return `${at} -f -a ${name} -d ${quote(description)}`;
  });
  for (const { long, short, description } of node.options) {
    const letter = short === undefined ? '' : ` -s ${short.slice(1)}`;
    lines.push(`${at} -l ${long.slice(2)}${letter} -d ${quote(description)}`);
  }
  const listing = listingCommand(node.arguments);
  if (listing !== undefined) {
    const files = node.arguments === 'copy' ? '' : ' -f';
    lines.push(`${at}${files} -a '(dormouse ${listing} 2>/dev/null)'`);
  }
  return lines;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
