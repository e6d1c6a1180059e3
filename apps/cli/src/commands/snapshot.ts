import type { SnapshotInfo } from '@dormouse/sdk';
import { Argument, type Command, Option } from 'commander';
import { type ConnectionFlags, withConnection } from './options.js';

interface KeepFlags extends ConnectionFlags {
  readonly name?: string;
  readonly description?: string;
  readonly memory: boolean;
  readonly pause?: boolean;
  readonly overwrite?: boolean;
}

interface ListFlags extends ConnectionFlags {
  readonly type?: SnapshotInfo['type'];
  readonly quiet?: boolean;
}

export function addSnapshot(program: Command): void {
  const snapshot = program.command('snapshot').description('moments of sandboxes that new ones begin with');
  const leaf = (nameAndArguments: string): Command => withConnection(snapshot.command(nameAndArguments));

  leaf('ls')
    .alias('list')
    .description('list snapshots, newest first, and templates')
    .addOption(new Option('--type <type>', 'only these').choices(['base', 'snapshot']))
    .option('-q, --quiet', 'print names alone')
    .action(async (flags: ListFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine, answerTable } = await import('../terminal/answer.js');
      const snapshots: SnapshotInfo[] = [];
      for await (const item of connect(flags).snapshots.list({ type: flags.type })) snapshots.push(item);
      if (flags.json) return answerJson(snapshots);
      if (flags.quiet) {
        for (const { name } of snapshots) answerLine(name);
        return;
      }
      const { snapshotRows } = await import('../snapshot/rows.js');
      const head = ['NAME', 'TYPE', 'FROM', 'VCPUS', 'MEMORY', 'OWN', 'TOTAL', 'AGE', 'DESCRIPTION'];
      answerTable(head, snapshotRows(snapshots, Date.now()));
    });

  addKeep(snapshot, 'create').description('keep the present moment of a sandbox, which goes on as it was');

  leaf('rm')
    .addArgument(new Argument('<snapshot...>', 'names or ids'))
    .description('delete snapshots; what descends from them stays whole')
    .action(async (names: readonly string[], flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const client = connect(flags);
      const outcomes = await Promise.allSettled(names.map((name) => client.snapshots.delete(name)));
      const removed = names.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      if (flags.json) answerJson({ removed });
      else for (const name of removed) answerLine(name);
      // The others are gone all the same; the first failure says what is wrong.
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    });

  leaf('tree')
    .description('draw what descends from what')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const { drawTree, growTree } = await import('../snapshot/tree.js');
      const snapshots: SnapshotInfo[] = [];
      for await (const item of connect(flags).snapshots.list()) snapshots.push(item);
      const roots = growTree(snapshots);
      if (flags.json) return answerJson(roots);
      for (const line of drawTree(roots)) answerLine(line);
    });
}

/** A command that keeps the present moment of a sandbox: `snapshot create`, and `sandbox checkpoint`. */
export function addKeep(parent: Command, verb: string): Command {
  return withConnection(parent.command(`${verb} <id>`))
    .option('--name <name>', 'what to call it (default: template- and eight digits)')
    .option('--description <text>', 'what it is, for people')
    .option('--no-memory', 'keep the disk alone: what begins with it boots')
    .option('--pause', 'pause the sandbox with it')
    .option('--overwrite', 'take the name from the snapshot that has it, which is deleted then')
    .action(async (id: string, flags: KeepFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const { shownStep } = await import('../terminal/steps.js');
      const { name, description, memory, pause, overwrite } = flags;
      const client = connect(flags);
      const kept = await shownStep(flags, `Keep a moment of ${id}`, () =>
        client.snapshots.create(id, { name, description, memory, pause, overwrite }),
      );
      if (flags.json) answerJson(kept);
      else answerLine(kept.name);
    });
}
