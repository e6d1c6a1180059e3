import { DormouseError, fromUnknown } from '@dormouse/errors';
import { Client } from '@dormouse/sdk';
import type { ConnectionFlags } from '../commands/options.js';
import { connect } from '../connection.js';
import { dataDirectoryOf } from '../data-directory.js';
import type { Steps } from '../terminal/steps.js';
import { Stack } from '../up/stack.js';

/** A server to show things on. */
export interface DemoServer extends AsyncDisposable {
  readonly client: Client;
}

const HEALTH_TIMEOUT_MS = 5_000;

/** The server that runs, or one started for the occasion, which ends with it. */
export async function findServer(
  flags: ConnectionFlags,
  steps: Steps,
  signal: AbortSignal,
): Promise<DemoServer> {
  const named = flags.apiUrl ?? process.env.DORMOUSE_API_URL;
  try {
    const client = connect(flags);
    await client.health({ timeoutMs: HEALTH_TIMEOUT_MS });
    return { client, [Symbol.asyncDispose]: async () => {} };
  } catch (thrown) {
    if (named !== undefined) throw thrown;
    const { code } = fromUnknown(thrown);
    if (code !== 'unavailable' && code !== 'unauthorized') throw thrown;
  }
  steps.note('Nothing is up; starting everything for the demo.');
  const options = { data: dataDirectoryOf(flags.data), host: '127.0.0.1', apiPort: 0, edgePort: 0 };
  const stack = await Stack.start(options, steps, signal);
  return {
    client: new Client({ apiUrl: stack.apiUrl, apiKey: stack.apiKey() }),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** @throws DormouseError `internal` when a command of the demo failed or said something else */
export function expectOutput(what: string, actual: string, expected: string): void {
  if (actual === expected) return;
  throw new DormouseError(
    'internal',
    `${what} answered ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`,
  );
}
