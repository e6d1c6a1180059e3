// How long ended processes stay known: an agent that keeps them for 400 ms. AGENT= names the binary.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startAgent } from './agent.mjs';
import { Fields, OP, startArgs, u8, u32 } from './host.mjs';

const AGENT = process.env.AGENT ?? new URL('../build/test/hasty-agent', import.meta.url).pathname;
const RETENTION_MS = 400;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let agent;
let host;

before(async () => {
  agent = await startAgent(AGENT);
  host = agent.host;
});
after(() => agent.stop());

const attach = (pid) => host.open(OP.PROCESS_ATTACH, [u32(pid), u8(1)]);
const exitCode = (message) => new Fields(message.body).i32();

test('a process that has ended stays until its slowest reader has its output and exit status', {
  timeout: 20_000,
}, async () => {
  const stream = host.open(OP.PROCESS_START, startArgs({ argv: ['/bin/sh', '-c', 'echo out; exit 5'] }), 8);
  const pid = new Fields((await stream.message()).body).u32();
  await wait(3 * RETENTION_MS);
  const other = attach(pid);
  assert.equal((await other.closed).code, 'ok');
  assert.equal(other.text(1), 'out\n');
  assert.equal(stream.result, null);
  stream.credit(1000);
  assert.equal((await stream.closed).code, 'ok');
  assert.equal(stream.text(1), 'out\n');
  assert.equal(exitCode(stream.messages[1]), 5);
  assert.equal((await attach(pid).closed).code, 'ok');
  await wait(3 * RETENTION_MS);
  assert.equal((await attach(pid).closed).code, 'no_such_process');
});
