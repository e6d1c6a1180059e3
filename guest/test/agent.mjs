// Starts an agent that serves a socket in a fresh directory, greeted.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Host, OP, u8, u32 } from './host.mjs';

export async function startAgent(binary) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dormouse-guest-'));
  const socket = path.join(directory, 'agent.sock');
  const agent = spawn(binary, ['--socket', socket], { stdio: ['ignore', 'inherit', 'inherit'] });
  let host;
  for (let i = 0; !host; i++) {
    try {
      host = await Host.connect(socket);
    } catch (error) {
      if (i > 200) throw error;
      await new Promise((r) => setTimeout(r, 20));
    }
  }
  await host.greet();
  /** Ends the agent, which must end as asked. */
  const stop = async (last = host) => {
    const left = new Promise((resolve) => agent.once('exit', (code, signal) => resolve({ code, signal })));
    assert.equal((await last.open(OP.SHUTDOWN, [u8(0), u32(0)]).closed).code, 'ok');
    assert.deepEqual(await left, { code: 0, signal: null });
    fs.rmSync(directory, { recursive: true });
  };
  return { directory, socket, host, pid: agent.pid, stop };
}
