import { createInterface } from 'node:readline/promises';

/**
 * Asks a yes-or-no question on the terminal; plain Enter means yes, closing the terminal means no.
 *
 * @param {string} question
 * @returns {Promise<boolean>}
 */
export async function askYes(question) {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new Promise((resolve) => terminal.once('close', () => resolve('no')));
  try {
    const answer = await Promise.race([terminal.question(`${question} [Y/n] `), closed]);
    return /^(y|yes)?$/i.test(String(answer).trim());
  } finally {
    terminal.close();
  }
}
