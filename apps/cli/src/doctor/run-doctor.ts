import type { DataPaths } from '../data-directory.js';
import { ansiFor } from '../terminal/ansi.js';
import { answerJson, answerLine } from '../terminal/answer.js';
import { printable } from '../terminal/printable.js';
import { createSteps, inStep } from '../terminal/steps.js';
import { askHostAgent } from './host-checks.js';
import { checkMachine, TCG_IS_NO_BOUNDARY } from './machine-checks.js';
import { mergeRows } from './row.js';

/** Exit code when something that `up` needs is missing. */
const LACKING_EXIT_CODE = 4;

/** @returns the exit code */
export async function runDoctor(paths: DataPaths, json: boolean): Promise<number> {
  const ask = () => askHostAgent(paths.assets);
  const shown = process.stderr.isTTY && !json;
  const tried = shown
    ? await inStep(createSteps(process.stderr), 'Try what only trying tells', ask)
    : await ask();
  const rows = mergeRows(checkMachine(paths.root), tried);
  const failures = rows.filter(({ status }) => status === 'fail').length;
  if (json) {
    answerJson(rows);
  } else {
    const { green, yellow, red, dim } = ansiFor(process.stdout);
    const marks = { ok: green('✓'), warn: yellow('!'), fail: red('✗') };
    const width = Math.max(...rows.map(({ name }) => name.length));
    for (const { name, status, detail, fix } of rows) {
      answerLine(`${marks[status]} ${name.padEnd(width)}  ${printable(detail)}`);
      if (status !== 'ok' && fix !== '') answerLine(`  ${' '.repeat(width)}  ${dim(`→ ${printable(fix)}`)}`);
    }
    answerLine('');
    if (rows.some(({ name, status }) => name === 'KVM' && status !== 'ok')) {
      answerLine(`Without KVM ${TCG_IS_NO_BOUNDARY}.`);
    }
    answerLine(
      failures === 0 ? 'This machine can run sandboxes.' : `${failures} in the way of running sandboxes.`,
    );
  }
  return failures === 0 ? 0 : LACKING_EXIT_CODE;
}
