import { setTimeout as delay } from 'node:timers/promises';
import { type Bench, type Figure, timed } from '../figure.js';
import { summarise } from '../statistics.js';

const TIMEOUT_SEC = 2;
/** Only a hang takes longer than this past a timeout. */
const PATIENCE_MS = 60_000;

/**
 * How long after its timeout a sandbox is paused, the pause included; and how long after that everybody knows: the row
 * says so, and a live reader has heard of it. The clocks of host and benchmark are one.
 */
export async function pausedByItself({ stack, quick, progress }: Bench): Promise<Figure[]> {
  const count = quick ? 3 : 20;
  const [late, known, asked]: [number[], number[], number[]] = [[], [], []];
  await using sandbox = await stack.client.sandboxes.create();
  for (let index = 0; index < count; index++) {
    progress(`pause by timeout ${index + 1} of ${count}`);
    const patience = AbortSignal.timeout(PATIENCE_MS + TIMEOUT_SEC * 1_000);
    const newest = await sandbox.pastEvents().next();
    const after = newest.value?.id ?? '0';
    const { expiresAt } = await sandbox.resume({ timeoutSec: TIMEOUT_SEC });
    for await (const { type, at } of sandbox.events({ after, signal: patience })) {
      if (type !== 'sandbox.auto_paused') continue;
      known.push(Date.now() - Date.parse(at));
      late.push(Date.parse(at) - Date.parse(expiresAt ?? ''));
      break;
    }
    if (known.length !== index + 1) throw new Error('the sandbox was not paused by its timeout');
    await sandbox.resume({ timeoutSec: 0 });
    // Its memory comes in while it runs: a pause would wait for that.
    await delay(1_000);
    asked.push((await timed(() => sandbox.pause())).ms);
  }
  const baseline = { what: 'a pause that is asked for', median: summarise(asked).median };
  const lateness = summarise(late);
  return [
    {
      name: 'auto-pause: from timeout to paused',
      unit: 'ms',
      ...lateness,
      baseline,
      ratio: lateness.median / baseline.median,
    },
    { name: 'what the host did by itself: until recorded and told', unit: 'ms', ...summarise(known) },
  ];
}
