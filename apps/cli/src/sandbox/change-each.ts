import type { SandboxInfo } from '@dormouse/sdk';
import { answerJson, answerLine } from '../terminal/answer.js';
import { shownStep } from '../terminal/steps.js';

/**
 * Changes sandboxes side by side and answers each: a line, or all of them as a JSON array in the order of their ids.
 * Where some fail the others are changed and told all the same; the first failure says what is wrong.
 *
 * @param verb for the step shown on a terminal: `Pause`
 */
export async function changeEach(
  ids: readonly string[],
  flags: { readonly json?: boolean },
  verb: string,
  change: (id: string) => Promise<SandboxInfo>,
  line: (info: SandboxInfo) => string,
): Promise<void> {
  const what = ids.length === 1 ? ids[0] : `${ids.length} sandboxes`;
  const outcomes = await shownStep(flags, `${verb} ${what}`, () => Promise.allSettled(ids.map(change)));
  const changed = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  if (flags.json) answerJson(changed);
  else for (const info of changed) answerLine(line(info));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** The id, and where it is not where it was, why. */
export function resumedLine({ id, resumedBy, reason }: SandboxInfo): string {
  return resumedBy === 'reboot' ? `${id} (booted from its disk${reason === null ? '' : `: ${reason}`})` : id;
}
