import type { OpenProject, ProjectInfo, ProjectSnapshotInfo } from '@dormouse/sdk';
import { Argument, type Command } from 'commander';
import { type ConnectionFlags, keyValue, secondsAsMs, wholeNumber, withConnection } from './options.js';

interface CreateFlags extends ConnectionFlags {
  readonly template: string;
  readonly keepLast?: number;
  readonly workspace?: string;
  readonly vcpus?: number;
  readonly memory?: number;
  readonly timeout?: number;
  readonly env?: Record<string, string>;
  readonly metadata?: Record<string, string>;
  readonly internet: boolean;
}

interface ListFlags extends ConnectionFlags {
  readonly quiet?: boolean;
}

interface SaveFlags extends ConnectionFlags {
  readonly description?: string;
  readonly metadata?: Record<string, string>;
}

type Leaf = (nameAndArguments: string) => Command;

export function addProject(program: Command): void {
  const project = program
    .command('project')
    .description('workspaces that always come back as they were left');
  const leaf: Leaf = (nameAndArguments) => withConnection(project.command(nameAndArguments));
  addCreate(leaf);
  addList(leaf);
  addOpen(leaf);
  addMoments(leaf);
  addEnds(leaf);
}

function addCreate(leaf: Leaf): void {
  const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);
  leaf('create <name>')
    .description('make a project; it has no sandbox before it is opened')
    .option('--template <name>', 'what it begins with: a template, or name or id of a snapshot', 'base')
    .option('--keep-last <number>', 'how many automatic moments are kept (default: 10)', count)
    .option('--workspace <path>', 'directory whose files are counted (default: /home/user)')
    .option('--vcpus <count>', "virtual CPUs (default: the template's)", count)
    .option('--memory <mib>', "memory in MiB (default: the template's)", count)
    .option('--timeout <seconds>', 'seconds without use until it is paused (default: never)', secondsAsMs)
    .option('--env <key=value>', 'environment variable; repeatable', keyValue)
    .option('--metadata <key=value>', 'label; repeatable', keyValue)
    .option('--no-internet', 'without access to the internet')
    .action(async (name: string, flags: CreateFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const made = await connect(flags).projects.create({
        name,
        template: flags.template,
        keepLast: flags.keepLast,
        workspace: flags.workspace,
        vcpus: flags.vcpus,
        memoryMb: flags.memory,
        timeoutSec: flags.timeout === undefined ? undefined : Math.ceil(flags.timeout / 1000),
        envs: flags.env,
        metadata: flags.metadata,
        internet: flags.internet,
      });
      if (flags.json) answerJson(made);
      else answerLine(made.id);
    });
}

function addList(leaf: Leaf): void {
  leaf('ls')
    .alias('list')
    .description('list projects, newest first')
    .option('-q, --quiet', 'print names alone')
    .action(async (flags: ListFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine, answerTable } = await import('../terminal/answer.js');
      const projects: ProjectInfo[] = [];
      for await (const item of connect(flags).projects.list()) projects.push(item);
      if (flags.json) return answerJson(projects);
      if (flags.quiet) {
        for (const { name } of projects) answerLine(name);
        return;
      }
      const { projectRows } = await import('../project/rows.js');
      const head = ['NAME', 'STATE', 'SANDBOX', 'TEMPLATE', 'OPENED', 'SAVED'];
      answerTable(head, projectRows(projects, Date.now()));
    });
}

function addOpen(leaf: Leaf): void {
  leaf('open <project>')
    .description('open it as it was left; prints the sandbox')
    .action(async (id: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const client = connect(flags);
      await answerOpened(flags, `Open ${id}`, () => client.projects.open(id));
    });

  leaf('restore <project> <snapshot>')
    .description('go back to a kept moment; the present one is kept first')
    .action(async (id: string, snapshotId: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const client = connect(flags);
      await answerOpened(flags, `Restore ${id}`, () => client.projects.restore(id, snapshotId));
    });
}

async function answerOpened(
  flags: ConnectionFlags,
  title: string,
  work: () => Promise<OpenProject>,
): Promise<void> {
  const { answerJson, answerLine } = await import('../terminal/answer.js');
  const { shownStep } = await import('../terminal/steps.js');
  const { openedJson, openedLine } = await import('../project/rows.js');
  const opened = await shownStep(flags, title, work);
  if (flags.json) answerJson(openedJson(opened));
  else answerLine(openedLine(opened));
}

function addMoments(leaf: Leaf): void {
  leaf('save <project>')
    .description('keep its present moment; it goes on as it was')
    .option('--description <text>', 'what it is, for people; a moment with one is kept until it is deleted')
    .option('--metadata <key=value>', 'label of the moment; repeatable', keyValue)
    .action(async (id: string, flags: SaveFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const { shownStep } = await import('../terminal/steps.js');
      const { description, metadata } = flags;
      const client = connect(flags);
      const kept = await shownStep(flags, `Save ${id}`, () =>
        client.projects.save(id, { description, metadata }),
      );
      if (flags.json) answerJson(kept);
      else answerLine(kept.id);
    });

  leaf('snapshots <project>')
    .description('list its kept moments, newest first')
    .option('-q, --quiet', 'print ids alone')
    .action(async (id: string, flags: ListFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine, answerTable } = await import('../terminal/answer.js');
      const moments: ProjectSnapshotInfo[] = [];
      for await (const item of connect(flags).projects.snapshots(id)) moments.push(item);
      if (flags.json) return answerJson(moments);
      if (flags.quiet) {
        for (const moment of moments) answerLine(moment.id);
        return;
      }
      const { momentRows } = await import('../project/rows.js');
      answerTable(['ID', 'AGE', 'FILES', 'SIZE', 'DESCRIPTION'], momentRows(moments, Date.now()));
    });
}

function addEnds(leaf: Leaf): void {
  leaf('close <project>')
    .description('keep its present moment and free its sandbox; prints the moment')
    .action(async (id: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const { shownStep } = await import('../terminal/steps.js');
      const client = connect(flags);
      const closed = await shownStep(flags, `Close ${id}`, () => client.projects.close(id));
      if (flags.json) answerJson(closed);
      else if (closed.snapshot !== null) answerLine(closed.snapshot.id);
    });

  leaf('rm')
    .addArgument(new Argument('<project...>', 'names or ids'))
    .description('delete projects with their sandboxes and all their moments')
    .action(async (ids: readonly string[], flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const client = connect(flags);
      const outcomes = await Promise.allSettled(ids.map((id) => client.projects.delete(id)));
      const removed = ids.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      if (flags.json) answerJson({ removed });
      else for (const id of removed) answerLine(id);
      // The others are gone all the same; the first failure says what is wrong.
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    });
}
