import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { outwaitOrphans } from './orphans.js';
import { identify, isAlive } from './process-table.js';

const quiet = { start: () => ({ update() {}, done() {}, skip() {}, fail() {} }), note() {} };
const never = new AbortController().signal;

/** A process in a group of its own, and what is known of it. */
async function orphan(name: string, script: string) {
  const child = spawn('bash', ['-c', `${script}; echo up; read -r line`], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  return { child, known: { name, ...identify(child.pid!)! } };
}

test('orphans that end by themselves are only waited for', async () => {
  const { child, known } = await orphan('host-agent', 'true');
  const ended = once(child, 'exit');
  child.stdin.end();
  const state = { pid: 1, apiUrl: null, processes: [known] };
  await outwaitOrphans(state, quiet, never, { aloneMs: 20_000, afterTermMs: 0, afterKillMs: 0 });
  expect(isAlive(known)).toBe(false);
  expect((await ended)[1]).toBeNull();
});

test('who stays is asked, and killed if it will not listen', async () => {
  const polite = await orphan('database', 'true');
  const deaf = await orphan('control-plane', "trap '' TERM");
  const ended = [once(polite.child, 'exit'), once(deaf.child, 'exit')];
  const state = { pid: 1, apiUrl: null, processes: [polite.known, deaf.known] };
  await outwaitOrphans(state, quiet, never, { aloneMs: 0, afterTermMs: 200, afterKillMs: 20_000 });
  expect((await Promise.all(ended)).map(([, signal]) => signal)).toEqual(['SIGTERM', 'SIGKILL']);
});

test('a process that merely has the same pid is left alone', async () => {
  const { child, known } = await orphan('host-agent', 'true');
  const other = { ...known, startTicks: '1' };
  await outwaitOrphans({ pid: 1, apiUrl: null, processes: [other] }, quiet, never, {
    aloneMs: 0,
    afterTermMs: 0,
    afterKillMs: 0,
  });
  expect(isAlive(known)).toBe(true);
  child.stdin.end();
  await once(child, 'exit');
});
