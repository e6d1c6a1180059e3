import type { Session } from '@dormouse/sdk';
import type { Command } from 'commander';
import { type ConnectionFlags, withConnection, withServer } from './options.js';

interface SignUpFlags extends ConnectionFlags {
  readonly name?: string;
}

const HOW_PASSWORDS_COME = 'The password is asked for on a terminal, else read from standard input.';

export function addAuth(program: Command): void {
  const auth = program.command('auth').description('accounts and logins');

  withServer(auth.command('signup <email>'))
    .description('make an account with a team of its own, and log in')
    .option('--name <name>', 'what to call you')
    .addHelpText('after', `\n${HOW_PASSWORDS_COME}`)
    .action(async (email: string, flags: SignUpFlags) => {
      const { askPassword } = await import('../auth/password.js');
      const { serverOf } = await import('../connection.js');
      const { Client } = await import('@dormouse/sdk');
      const apiUrl = serverOf(flags);
      const account = { email, password: await askPassword({ twice: true }), name: flags.name };
      await keep(apiUrl, await Client.signUp(account, { apiUrl }), flags);
    });

  withServer(auth.command('login <email>'))
    .description('log in; commands act as you from then on, in your team')
    .addHelpText('after', `\n${HOW_PASSWORDS_COME}`)
    .action(async (email: string, flags: ConnectionFlags) => {
      const { askPassword } = await import('../auth/password.js');
      const { serverOf } = await import('../connection.js');
      const { Client } = await import('@dormouse/sdk');
      const apiUrl = serverOf(flags);
      const account = { email, password: await askPassword() };
      await keep(apiUrl, await Client.logIn(account, { apiUrl }), flags);
    });

  withServer(auth.command('logout'))
    .description('forget the login; commands use the API key of the data directory again')
    .action(async (flags: ConnectionFlags) => {
      const { forgetLogin } = await import('../auth/login-file.js');
      const { serverOf } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const apiUrl = serverOf(flags);
      const loggedOut = forgetLogin(apiUrl);
      if (flags.json) answerJson({ apiUrl, loggedOut });
      else answerLine(loggedOut ? `logged out of ${apiUrl}` : `there was no login at ${apiUrl}`);
    });

  withConnection(auth.command('whoami'))
    .description('show who commands act as, and in which team')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const me = await connect(flags).me();
      if (flags.json) return answerJson(me);
      const who = me.user?.email ?? `API key ${me.apiKey?.name ?? ''}`;
      answerLine(`${who}, ${me.team.role} of ${me.team.name}`);
    });
}

/** Keeps a login and says so; the token itself is shown to nobody. */
export async function keep(
  apiUrl: string,
  { token, expiresAt, user, team }: Session,
  flags: ConnectionFlags,
): Promise<void> {
  const { writeLogin } = await import('../auth/login-file.js');
  const { answerJson, answerLine } = await import('../terminal/answer.js');
  writeLogin(apiUrl, { token, expiresAt, email: user.email, team: team.name });
  if (flags.json) answerJson({ apiUrl, expiresAt, user, team });
  else answerLine(`${user.email}, ${team.role} of ${team.name}, until ${expiresAt}`);
}
