import type { Member, Team, TeamRole } from '@dormouse/sdk';
import { Argument, type Command, Option } from 'commander';
import { type ConnectionFlags, withConnection } from './options.js';

const ROLES: readonly TeamRole[] = ['owner', 'admin', 'member'];

interface TeamFlags extends ConnectionFlags {
  readonly team?: string;
}

interface AddFlags extends TeamFlags {
  readonly role: TeamRole;
}

export function addTeam(program: Command): void {
  const team = program.command('team').description('teams and who is in them');
  const leaf = (nameAndArguments: string): Command => withConnection(team.command(nameAndArguments));
  const within = (nameAndArguments: string): Command =>
    leaf(nameAndArguments).option('--team <team>', 'id or name (default: the team of your login or key)');

  leaf('ls')
    .alias('list')
    .description('list your teams')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const client = connect(flags);
      const current = (await client.me()).team.id;
      const teams: Team[] = [];
      for await (const one of client.teams.list()) teams.push(one);
      if (flags.json) return answerJson(teams.map((one) => ({ ...one, current: one.id === current })));
      const { humanAge } = await import('../terminal/human.js');
      const rows = teams.map(({ id, name, role, createdAt }) => [
        id === current ? '*' : '',
        id,
        name,
        role,
        humanAge(createdAt, Date.now()),
      ]);
      answerTable(['', 'ID', 'NAME', 'ROLE', 'AGE'], rows);
    });

  leaf('create <name>')
    .description('make a team, which you own')
    .action(async (name: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      await answerTeam(await connect(flags).teams.create(name), flags);
    });

  within('rename <name>')
    .description('call a team something else')
    .action(async (name: string, flags: TeamFlags) => {
      const { connect } = await import('../connection.js');
      const { findTeam } = await import('../team/find.js');
      const client = connect(flags);
      const { id } = await findTeam(client, flags.team);
      await answerTeam(await client.teams.rename(id, name), flags);
    });

  leaf('switch')
    .addArgument(new Argument('<team>', 'id or name'))
    .description('act in another of your teams from now on; needs a login')
    .action(async (named: string, flags: ConnectionFlags) => {
      const { connect, serverOf } = await import('../connection.js');
      const { findTeam } = await import('../team/find.js');
      const { keep } = await import('./auth.js');
      const client = connect(flags);
      const { id } = await findTeam(client, named);
      await keep(serverOf(flags), await client.switchTeam(id), flags);
    });

  within('members')
    .description('list who is in a team')
    .action(async (flags: TeamFlags) => {
      const { connect } = await import('../connection.js');
      const { findTeam } = await import('../team/find.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const client = connect(flags);
      const { id } = await findTeam(client, flags.team);
      const members: Member[] = [];
      for await (const member of client.teams.members(id)) members.push(member);
      if (flags.json) return answerJson(members);
      const { humanAge } = await import('../terminal/human.js');
      const rows = members.map(({ userId, email, name, role, joinedAt }) => [
        email,
        role,
        name ?? '',
        humanAge(joinedAt, Date.now()),
        userId,
      ]);
      answerTable(['E-MAIL', 'ROLE', 'NAME', 'IN', 'ID'], rows);
    });

  within('add <email>')
    .description('add somebody who has signed up')
    .addOption(new Option('--role <role>', 'what they may do').choices(ROLES).default('member'))
    .action(async (email: string, flags: AddFlags) => {
      const { connect } = await import('../connection.js');
      const { findTeam } = await import('../team/find.js');
      const client = connect(flags);
      const { id } = await findTeam(client, flags.team);
      await answerMember(await client.teams.addMember(id, email, flags.role), flags);
    });

  within('rm')
    .addArgument(new Argument('<member>', 'e-mail or id'))
    .description('take somebody out of a team, with the API keys they have made; with your own e-mail: leave')
    .action(async (named: string, flags: TeamFlags) => {
      const { connect } = await import('../connection.js');
      const { findMember, findTeam } = await import('../team/find.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const client = connect(flags);
      const found = await findTeam(client, flags.team);
      const member = await findMember(client, found, named);
      await client.teams.removeMember(found.id, member.userId);
      if (flags.json) answerJson({ removed: member.userId });
      else answerLine(member.email);
    });

  within('role')
    .addArgument(new Argument('<member>', 'e-mail or id'))
    .addArgument(new Argument('<role>').choices(ROLES))
    .description('give somebody another role')
    .action(async (named: string, role: TeamRole, flags: TeamFlags) => {
      const { connect } = await import('../connection.js');
      const { findMember, findTeam } = await import('../team/find.js');
      const client = connect(flags);
      const found = await findTeam(client, flags.team);
      const { userId } = await findMember(client, found, named);
      await answerMember(await client.teams.setRole(found.id, userId, role), flags);
    });
}

async function answerTeam(team: Team, flags: ConnectionFlags): Promise<void> {
  const { answerJson, answerLine } = await import('../terminal/answer.js');
  if (flags.json) answerJson(team);
  else answerLine(team.id);
}

async function answerMember(member: Member, flags: ConnectionFlags): Promise<void> {
  const { answerJson, answerLine } = await import('../terminal/answer.js');
  if (flags.json) answerJson(member);
  else answerLine(`${member.email} ${member.role}`);
}
