import { setTimeout as delay } from 'node:timers/promises';
import { Sandbox } from '@dormouse/sdk';
import type { Bench, Figure } from '../figure.js';
import { summarise } from '../statistics.js';

const TIMEOUT_SEC = 3;
const PATIENCE_MS = 120_000;

/** How long after its time has passed a sandbox is paused, and when the database knows. */
export async function autoPauses({ stack, quick, progress }: Bench): Promise<Figure[]> {
  const { apiUrl, apiKey } = stack;
  const late: number[] = [];
  const known: number[] = [];
  const count = quick ? 3 : 10;
  for (let index = 0; index < count; index++) {
    progress(`a sandbox that times out, ${index + 1} of ${count}`);
    await using sandbox = await Sandbox.create({ apiUrl, apiKey, timeoutSec: TIMEOUT_SEC });
    await sandbox.exec({ cmd: 'true', args: [] });
    const { expiresAt } = await sandbox.refresh();
    if (expiresAt === null) throw new Error('the sandbox never times out');
    const deadlineMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const { state, pausedAt } = await sandbox.refresh();
      if (state === 'paused' && pausedAt !== null) {
        late.push(Date.parse(pausedAt) - Date.parse(expiresAt));
        known.push(Date.now() - Date.parse(pausedAt));
        break;
      }
      if (performance.now() > deadlineMs) throw new Error('the sandbox does not time out');
      await delay(20);
    }
  }
  const figure = (name: string, values: readonly number[]): Figure => {
    const { median, p95, count } = summarise(values);
    return { name, unit: 'ms', median, p95, count };
  };
  return [
    figure('auto-pause: from the end of its time to paused', late),
    figure('auto-pause: from paused to seen over the API', known),
  ];
}
