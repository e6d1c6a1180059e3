import { readFile, realpath } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { run } from './run.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const PATIENCE_MS = 60_000;
const bounded = { timeoutMs: PATIENCE_MS };

/** State letter of a process as in proc(5); none when there is no such process, Z when nobody has buried it yet. */
async function stateOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).slice(0, 1) || 'none';
}

describe('running a command', () => {
  test('answers what it wrote on standard output, and only that', async () => {
    expect(await run(['sh', '-c', 'echo out; echo err >&2; printf "no newline"'], bounded)).toBe(
      'out\nno newline',
    );
  });

  test('passes arguments as they are and has no standard input', async () => {
    expect(await run(['printf', '[%s]', 'a b', '$HOME', ''], bounded)).toBe('[a b][$HOME][]');
    expect(await run(['cat'], bounded)).toBe('');
  });

  test('takes place in the directory and the environment it is given', async () => {
    await using directory = await temporaryDirectory();
    const cwd = await realpath(directory.path);
    const output = await run(['sh', '-c', 'pwd; echo $LC_ALL $WORD'], {
      ...bounded,
      cwd,
      env: { WORD: 'there' },
    });
    expect(output).toBe(`${cwd}\nC.UTF-8 there\n`);
  });

  test('tells every line of standard error as it comes, the last one too', async () => {
    const lines: string[] = [];
    const script = 'printf "one\\ntw" >&2; printf "o\\n\\r10%%\\r20%%\\nlast" >&2';
    await run(['sh', '-c', script], { ...bounded, onLine: (line) => lines.push(line) });
    expect(lines).toEqual(['one', 'two', '10%', '20%', 'last']);
  });

  test('that is not installed says so', async () => {
    await expect(run(['no-such-program-anywhere'], bounded)).rejects.toMatchObject({
      code: 'missing_tool',
      message: 'no-such-program-anywhere is not installed',
    });
  });

  test('in a directory that is not there does not blame the program', async () => {
    await using directory = await temporaryDirectory();
    await expect(run(['true'], { ...bounded, cwd: `${directory.path}/gone` })).rejects.toMatchObject({
      code: 'setup_failed',
      message: `true: the directory ${directory.path}/gone is missing`,
    });
  });

  test.each([
    ['what it said on standard error', 'echo result; echo why >&2; exit 7', 'sh failed (exit code 7): why'],
    ['what it said otherwise', 'echo result; exit 1', 'sh failed (exit code 1): result'],
    ['the signal that ended it', 'kill -TERM $$', 'sh failed (ended by SIGTERM): '],
  ])('that fails is reported with %s', async (_name, script, message) => {
    await expect(run(['sh', '-c', script], bounded)).rejects.toMatchObject({ code: 'setup_failed', message });
  });

  test('that fails with many words is reported with the last of them', async () => {
    const failing = run(['sh', '-c', 'seq 100000 >&2; exit 1'], bounded);
    await expect(failing).rejects.toThrow(/^sh failed \(exit code 1\): [\d\n]+\n100000$/);
    await failing.catch((error: Error) => expect(error.message.length).toBeLessThan(2_100));
  });

  test('that does not end in time is killed, with everything it has started', async () => {
    const began = performance.now();
    let child = 0;
    const endless = run(['sh', '-c', 'sleep 600 & echo $! >&2; wait'], {
      timeoutMs: 300,
      onLine: (line) => {
        child = Number(line);
      },
    });
    await expect(endless).rejects.toThrow(/^sh failed \(ended by SIGKILL\): \d+$/);
    expect(performance.now() - began).toBeLessThan(PATIENCE_MS);
    await expect.poll(() => stateOf(child)).toMatch(/^(none|Z|X)$/);
  });

  test('that is cancelled ends with everything it has started', async () => {
    const abort = new AbortController();
    let child = 0;
    const cancelled = run(['sh', '-c', 'sleep 600 & echo $! >&2; wait'], {
      ...bounded,
      signal: abort.signal,
      onLine: (line) => {
        child = Number(line);
        abort.abort();
      },
    });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled', message: 'sh was cancelled' });
    await expect.poll(() => stateOf(child)).toMatch(/^(none|Z|X)$/);
  });
});
