import { DormouseError } from '@dormouse/errors';
import { Client } from '@dormouse/sdk';
import type { ConnectionFlags } from './commands/options.js';
import { readApiKey } from './credentials.js';
import { dataDirectoryOf, dataPaths } from './data-directory.js';
import { readUpState } from './up/up-state.js';

/**
 * The server a command talks to: what the options say, else the environment, else the `up` that runs on the data
 * directory.
 *
 * @throws DormouseError `unauthorized` when there is no key to be found
 */
export function connect(flags: ConnectionFlags): Client {
  const paths = dataPaths(dataDirectoryOf(flags.data));
  const apiUrl =
    flags.apiUrl ?? process.env.DORMOUSE_API_URL ?? readUpState(paths.upState)?.apiUrl ?? undefined;
  const apiKey = flags.apiKey ?? process.env.DORMOUSE_API_KEY ?? readApiKey(paths.credentials);
  if (apiKey === undefined || apiKey === '') {
    throw new DormouseError('unauthorized', `no API key: ${paths.credentials} does not exist`, {
      suggestion: 'Start `dormouse up`, or pass --api-key or set DORMOUSE_API_KEY.',
    });
  }
  return new Client({ apiUrl, apiKey });
}
