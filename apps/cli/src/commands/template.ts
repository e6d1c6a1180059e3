import type { Template, TemplateBuildInfo } from '@dormouse/sdk';
import type { Command } from 'commander';
import { type ConnectionFlags, withConnection, withJson } from './options.js';

interface BuildFlags {
  readonly data?: string;
  readonly json?: boolean;
}

interface CreateFlags extends ConnectionFlags {
  readonly detach?: boolean;
}

export function addTemplate(program: Command): void {
  const template = program.command('template').description('what sandboxes are made from');

  withConnection(template.command('ls'))
    .alias('list')
    .description('list templates')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const templates: Template[] = [];
      for await (const item of connect(flags).templates.list()) templates.push(item);
      if (flags.json) return answerJson(templates);
      const { humanAge, humanBytes } = await import('../terminal/human.js');
      const rows = templates.map((item) => [
        item.name,
        String(item.defaultVcpus),
        `${item.defaultMemoryMb} MiB`,
        `${item.diskMb} MiB`,
        humanBytes(item.sizeBytes),
        humanAge(item.createdAt, Date.now()),
      ]);
      answerTable(['NAME', 'VCPUS', 'MEMORY', 'DISK', 'SIZE', 'AGE'], rows);
    });

  withConnection(template.command('create <recipe>'))
    .description('build a template of the team from a recipe: a file of JSON, or - for standard input')
    .option('--detach', 'put it in the queue, and do not wait')
    .action(async (recipe: string, flags: CreateFlags) => {
      const { createTemplate } = await import('../template/create.js');
      await createTemplate(recipe, flags);
    });

  withConnection(template.command('builds'))
    .description('list builds, newest first')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const builds: TemplateBuildInfo[] = [];
      for await (const item of connect(flags).templates.builds.list()) builds.push(item);
      if (flags.json) return answerJson(builds);
      const { buildRows } = await import('../template/rows.js');
      answerTable(['ID', 'NAME', 'STATE', 'STEPS', 'CACHED', 'AGE', 'ERROR'], buildRows(builds, Date.now()));
    });

  withConnection(template.command('cancel <id...>'))
    .description('cancel builds')
    .action(async (ids: readonly string[], flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const { builds } = connect(flags).templates;
      const cancelled: TemplateBuildInfo[] = [];
      for (const id of ids) {
        cancelled.push(await builds.cancel(id));
        if (!flags.json) answerLine(id);
      }
      if (flags.json) answerJson(cancelled);
    });

  withJson(template.command('build <name>'))
    .description('build a template of this machine from its recipe in images/')
    .option('--data <dir>', 'data directory (default: DORMOUSE_DATA, else /var/lib/dormouse)')
    .option('-y, --yes', 'install missing Debian packages without asking')
    .action(async (name: string, flags: BuildFlags) => {
      const { buildTemplate } = await import('../template/build.js');
      await buildTemplate(name, flags);
    });
}
