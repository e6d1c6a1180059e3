import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { clip } from './progress.mjs';
import { run } from './run.mjs';
import { describeError } from './setup-error.mjs';

const options = { cwd: '/', what: 'the tool', suggestion: 'Mend it.' };

test('a tool that fails is told with its last lines and what to do', async () => {
  const failing = run(
    'sh',
    ['-c', 'for i in $(seq 100); do echo line $i; done; echo broken >&2; exit 3'],
    options,
  );
  await rejects(failing, (/** @type {import('./setup-error.mjs').SetupError} */ error) => {
    strictEqual(error.message, 'the tool failed (exit 3)');
    const lines = error.output?.split('\n') ?? [];
    strictEqual(lines.length, 25);
    ok(lines.includes('broken'));
    const { text, exitCode } = describeError(error, false);
    ok(text.endsWith('error: the tool failed (exit 3)\n  Mend it.\n'));
    strictEqual(exitCode, 5);
    return true;
  });
});

test('a tool that is not there, or is killed, is told as such', async () => {
  await rejects(run('no-such-tool-here', [], options), {
    message: 'the tool: cannot start no-such-tool-here',
  });
  await rejects(run('sh', ['-c', 'kill -9 $$'], options), { message: 'the tool failed (SIGKILL)' });
});

test('lines are handed over as they come, carriage returns included', async () => {
  /** @type {string[]} */
  const lines = [];
  await run('printf', ['10%%\\r50%%\\r100%%\\ndone'], { ...options, onLine: (line) => lines.push(line) });
  deepStrictEqual(lines, ['10%', '50%', '100%', 'done']);
});

test('what a tool prints cannot break the progress line', () => {
  strictEqual(clip('\x1b[31mred\x1b[0m\tand more', 11), 'red and mor');
});
