import { DormouseError } from '@dormouse/errors';
import type { Caller, Services } from '../context.js';

/** How often a connection that lasts looks whether its caller would still be let in. */
const LOOK_EVERY_MS = 5_000;

/** How long a caller's access is watched: until disposed. */
export interface Welcome extends Disposable {
  /** Aborted, with an error for the caller, when they have lost access: their key was deleted, they left the team. */
  readonly signal: AbortSignal;
}

/** Watches a caller's access for a connection that lasts. A login that only got old stays. */
export function watchWelcome(services: Pick<Services, 'store'>, caller: Caller): Welcome {
  const over = new AbortController();
  const looking = setInterval(() => {
    isWelcome(services, caller).then(
      (welcome) => {
        if (!welcome) over.abort(new DormouseError('unauthorized', 'you have no access any more'));
      },
      // A database that is away for a moment ends nothing; the next look decides.
      () => undefined,
    );
  }, LOOK_EVERY_MS);
  looking.unref();
  return { signal: over.signal, [Symbol.dispose]: () => clearInterval(looking) };
}

async function isWelcome({ store }: Pick<Services, 'store'>, caller: Caller): Promise<boolean> {
  const { accounts } = store.system;
  if (caller.keyId !== null) return accounts.keyWorks(caller.keyId);
  return (await accounts.membership(caller.userId, caller.teamId)) !== undefined;
}
