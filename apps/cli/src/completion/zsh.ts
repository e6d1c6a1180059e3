import { type CompletionNode, listingCommand } from './command-tree.js';

/** A zsh script: `source <(dormouse completion zsh)`. */
export function zshCompletion(tree: readonly CompletionNode[]): string {
  const known = tree.filter(({ path }) => path.length > 0).map(({ path }) => `'${path.join(' ')}'`);
  return `#compdef dormouse
# zsh completion of dormouse
_dormouse() {
  local at= next word
  local -a entries
  for word in "\${words[@]:1:$((CURRENT - 2))}"; do
    next="\${at:+$at }$word"
    case $next in
      ${known.join(' | ')}) at=$next ;;
    esac
  done
  case $at in
${tree.map((node) => branch(node, tree)).join('\n')}
  esac
}
compdef _dormouse dormouse ./dormouse
`;
}

function branch(node: CompletionNode, tree: readonly CompletionNode[]): string {
  const entries = [
    ...node.subcommands.map((name) => entry(name, descriptionOf(tree, [...node.path, name]))),
    ...node.options.map(({ long, description }) => entry(long, description)),
  ];
  const lines = [`    '${node.path.join(' ')}')`, `      entries=(${entries.join(' ')})`];
  const listing = listingCommand(node.arguments);
  if (listing !== undefined) {
    lines.push(`      entries+=(\${(f)"$("\${words[1]}" ${listing} 2>/dev/null)"})`);
  }
  lines.push("      _describe 'dormouse' entries");
  if (node.arguments === 'copy' || node.arguments === 'other') lines.push('      _files');
  return [...lines, '      ;;'].join('\n');
}

/** `_describe` splits a word from its description at the first colon. */
function entry(word: string, description: string): string {
  return `'${`${word.replaceAll(':', '\\:')}:${description}`.replaceAll("'", "'\\''")}'`;
}

function descriptionOf(tree: readonly CompletionNode[], path: readonly string[]): string {
  return tree.find((node) => node.path.join(' ') === path.join(' '))?.description ?? '';
}
