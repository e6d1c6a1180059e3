import type { Command } from 'commander';

/** What can follow the words of a command. */
export interface CompletionNode {
  /** Words after `dormouse`: `['sandbox', 'exec']`; empty for the root. */
  readonly path: readonly string[];
  readonly description: string;
  readonly subcommands: readonly string[];
  /** Long and short options. */
  readonly options: readonly CompletionOption[];
  /** What its arguments are. */
  readonly arguments: 'nothing' | 'sandbox-id' | 'snapshot' | 'project' | 'copy' | 'other';
}

export interface CompletionOption {
  readonly long: string;
  readonly short: string | undefined;
  readonly description: string;
}

/** The tree of commands, the root first, as the shells' scripts need it. */
export function commandTree(program: Command): readonly CompletionNode[] {
  return walk(program, []);
}

function walk(command: Command, path: readonly string[]): CompletionNode[] {
  const help = command.createHelp();
  const subcommands = help.visibleCommands(command).filter((sub) => sub.name() !== 'help');
  const node: CompletionNode = {
    path,
    description: command.description(),
    subcommands: subcommands.map((sub) => sub.name()),
    options: help
      .visibleOptions(command)
      .flatMap(({ long, short, description }) =>
        long ? [{ long, short: short ?? undefined, description }] : [],
      ),
    arguments: argumentsOf(command, path),
  };
  return [node, ...subcommands.flatMap((sub) => walk(sub, [...path, sub.name()]))];
}

function argumentsOf(command: Command, path: readonly string[]): CompletionNode['arguments'] {
  const first = command.registeredArguments[0]?.name();
  if (first === undefined) return 'nothing';
  if (first === 'snapshot' || first === 'project') return first;
  if (first === 'id' && (path[0] === 'sandbox' || path[0] === 'snapshot')) return 'sandbox-id';
  return path[0] === 'sandbox' && path[1] === 'cp' ? 'copy' : 'other';
}

/** The command that prints what such an argument may be, one a line; undefined: there is none. */
export function listingCommand(kind: CompletionNode['arguments']): string | undefined {
  switch (kind) {
    case 'sandbox-id':
    case 'copy':
      return 'sandbox ls --quiet';
    case 'snapshot':
      return 'snapshot ls --type snapshot --quiet';
    case 'project':
      return 'project ls --quiet';
    case 'nothing':
    case 'other':
      return undefined;
  }
}
