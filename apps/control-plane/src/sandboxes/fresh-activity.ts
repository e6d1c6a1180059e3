import { takesCommands } from '@dormouse/lifecycle';
import type { SandboxRecord } from '@dormouse/store';
import type { Services } from '../context.js';

/** What is recorded is good enough when the host takes longer. */
const PATIENCE_MS = 2_000;

/**
 * Sandboxes with their activity as their host knows it now, where it decides something: rows lag behind by seconds.
 * As recorded where the host does not answer.
 */
export async function withFreshActivity(
  services: Services,
  records: readonly SandboxRecord[],
): Promise<readonly SandboxRecord[]> {
  const ids = records.filter(mayTimeOut).map(({ id }) => id);
  if (ids.length === 0) return records;
  const active = await activity(services, ids);
  return records.map((record) => {
    const at = mayTimeOut(record) ? active.get(record.id) : undefined;
    const isLater = at !== undefined && at > (record.last_active_at ?? new Date(0));
    return isLater ? { ...record, last_active_at: at } : record;
  });
}

function mayTimeOut({ state, timeout_sec, host_state }: SandboxRecord): boolean {
  return takesCommands(state) && timeout_sec > 0 && host_state !== 'unreachable';
}

async function activity({ host, log }: Services, ids: readonly string[]): Promise<ReadonlyMap<string, Date>> {
  const options = { timeoutMs: PATIENCE_MS };
  const [only] = ids;
  try {
    const sandboxes =
      ids.length === 1 && only !== undefined
        ? [(await host.getSandbox({ id: only }, options)).sandbox]
        : (await host.listSandboxes({}, options)).sandboxes;
    return new Map(
      sandboxes.flatMap((sandbox) =>
        sandbox === undefined ? [] : [[sandbox.id, new Date(Number(sandbox.lastActiveAtMs))]],
      ),
    );
  } catch (err) {
    log.debug({ err }, 'activity as recorded: the host does not tell');
    return new Map();
  }
}
