import { DormouseError } from '@dormouse/errors';
import { Client, DEFAULT_API_URL } from '@dormouse/sdk';
import { readLogin } from './auth/login-file.js';
import type { ConnectionFlags } from './commands/options.js';
import { readApiKey } from './credentials.js';
import { dataDirectoryOf, dataPaths } from './data-directory.js';
import { readUpState } from './up/up-state.js';

/** The server a command talks to: what the options say, else the environment, else the `up` that runs. */
export function serverOf(flags: ConnectionFlags): string {
  const { upState } = dataPaths(dataDirectoryOf(flags.data));
  return flags.apiUrl ?? process.env.DORMOUSE_API_URL ?? readUpState(upState)?.apiUrl ?? DEFAULT_API_URL;
}

/**
 * A client of that server, as whoever was named: by a key in the options or the environment, else by a login at this
 * server, else by the key of the data directory. Naming a data directory means its key.
 *
 * @throws DormouseError `unauthorized` when the login is over, or when there is no key to be found
 */
export function connect(flags: ConnectionFlags): Client {
  const apiUrl = serverOf(flags);
  const given = flags.apiKey ?? process.env.DORMOUSE_API_KEY;
  if (given !== undefined && given !== '') return new Client({ apiUrl, apiKey: given });
  const login = flags.data === undefined ? readLogin(apiUrl) : undefined;
  if (login !== undefined) {
    // Going on as somebody else would be a surprise.
    if (Date.parse(login.expiresAt) <= Date.now()) {
      throw new DormouseError('unauthorized', `your login at ${apiUrl} is over`, {
        suggestion: `Log in again: dormouse auth login ${login.email}. Or forget it: dormouse auth logout.`,
      });
    }
    return new Client({ apiUrl, token: login.token });
  }
  const { credentials } = dataPaths(dataDirectoryOf(flags.data));
  const apiKey = readApiKey(credentials);
  if (apiKey === undefined) {
    throw new DormouseError('unauthorized', `no API key: ${credentials} does not exist`, {
      suggestion: 'Start `dormouse up`, log in, or pass --api-key or set DORMOUSE_API_KEY.',
    });
  }
  return new Client({ apiUrl, apiKey });
}
