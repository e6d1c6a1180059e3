import { DormouseError } from '@dormouse/errors';
import type { ConnectionFlags } from '../commands/options.js';
import { dataDirectoryOf } from '../data-directory.js';
import { answerJson, answerTable } from '../terminal/answer.js';
import { humanMs } from '../terminal/human.js';
import { createSteps, inStep } from '../terminal/steps.js';
import { playDemo, type Timed } from './play.js';
import { findServer } from './server.js';

/** The step that is done even when everything else has been given up. */
const LAST_STEP = 'remove everything';

/** Plays the demo and says how long each step took, as measured here. */
export async function runDemo(flags: ConnectionFlags): Promise<void> {
  const steps = createSteps(process.stderr);
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort(new DormouseError('cancelled', 'interrupted'));
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  const timings: { step: string; ms: number; answer: string }[] = [];
  const timed: Timed = async (title, work, say) => {
    if (title !== LAST_STEP) interrupted.signal.throwIfAborted();
    const begin = performance.now();
    const value = await inStep(steps, title, work);
    timings.push({ step: title, ms: Math.round(performance.now() - begin), answer: say(value) });
    return value;
  };
  try {
    await using server = await findServer(flags, steps, interrupted.signal);
    await playDemo(server.client, dataDirectoryOf(flags.data), timed);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
  if (flags.json) answerJson(timings);
  else
    answerTable(
      ['STEP', 'TOOK', 'ANSWER'],
      timings.map(({ step, ms, answer }) => [step, humanMs(ms), answer]),
    );
}
