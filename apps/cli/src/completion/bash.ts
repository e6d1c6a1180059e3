import { type CompletionNode, listingCommand } from './command-tree.js';

/** A bash script: `source <(dormouse completion bash)`. */
export function bashCompletion(tree: readonly CompletionNode[]): string {
  const known = tree.filter(({ path }) => path.length > 0).map(({ path }) => `'${pathKey(path)}'`);
  return `# bash completion of dormouse
_dormouse() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at= i words
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${at:+$at }\${COMP_WORDS[i]}" in
      ${known.join(' | ')}) at="\${at:+$at }\${COMP_WORDS[i]}" ;;
    esac
  done
  case $at in
${tree.map(branch).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _dormouse dormouse ./dormouse
`;
}

function branch(node: CompletionNode): string {
  const words = wordsOf(node).join(' ');
  const listing = listingCommand(node.arguments);
  const lines = [`    '${pathKey(node.path)}')`, `      words='${words}'`];
  if (listing !== undefined) {
    lines.push(`      [[ $cur == -* ]] || words+=" $("\${COMP_WORDS[0]}" ${listing} 2>/dev/null)"`);
  }
  return [...lines, '      ;;'].join('\n');
}

/** Subcommands and options, in the order of the help. */
export function wordsOf(node: CompletionNode): string[] {
  return [...node.subcommands, ...node.options.map(({ long }) => long)];
}

function pathKey(path: readonly string[]): string {
  return path.join(' ');
}
