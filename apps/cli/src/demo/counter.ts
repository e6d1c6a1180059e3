import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Sandbox } from '@dormouse/sdk';

const TOLD = '/tmp/told';
const FIRST_COUNTS = 3;
const TELL_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 50;

/**
 * Counts, and says so, beginning with a secret that is nowhere but in its memory. Asked by SIGUSR1 it writes both to a
 * file, in one step.
 */
const PROGRAM = `
import os, secrets, signal, time
secret, count = secrets.token_hex(8), 0
def tell(*_):
    with open('${TOLD}.new', 'w') as file: file.write(f'{secret} {count}')
    os.rename('${TOLD}.new', '${TOLD}')
signal.signal(signal.SIGUSR1, tell)
print(secret, flush=True)
while True:
    count += 1
    print(count, flush=True)
    time.sleep(0.1)
`;

/** A process in a sandbox whose memory can be recognised. */
export interface Counter {
  readonly pid: number;
  readonly secret: string;
  /** The last count that was seen. */
  readonly count: number;
}

/** Starts the counter and leaves it running when it has begun to count. */
export async function startCounter(sandbox: Sandbox): Promise<Counter> {
  const command = { cmd: 'python3', args: ['-c', PROGRAM] };
  await using process = await sandbox.spawn(command, { stdin: false, detach: true, tag: 'counter' });
  let text = '';
  for await (const event of process) {
    if (event.type === 'exit') break;
    text += Buffer.from(event.data).toString();
    const [secret = '', ...counts] = text.split('\n').slice(0, -1);
    if (counts.length >= FIRST_COUNTS) return { pid: process.pid, secret, count: Number(counts.at(-1)) };
  }
  throw new DormouseError('internal', `the counter ended: ${text}`);
}

/**
 * Asks the counter, in its own sandbox or in one that began with its memory.
 *
 * @returns where it is now
 * @throws DormouseError `internal` when it is not the same process with the same memory, or does not count on
 */
export async function askCounter(sandbox: Sandbox, before: Counter): Promise<Counter> {
  await sandbox.exec({ cmd: 'rm', args: ['-f', TOLD] });
  await sandbox.processes.kill(before.pid, { processSignal: 'SIGUSR1' });
  const until = performance.now() + TELL_TIMEOUT_MS;
  for (;;) {
    const { stdout, exitCode } = await sandbox.exec({ cmd: 'cat', args: [TOLD] });
    if (exitCode === 0) {
      const [secret = '', count] = stdout.split(' ');
      const now = { pid: before.pid, secret, count: Number(count) };
      if (secret === before.secret && now.count > before.count) return now;
      throw new DormouseError('internal', `the counter is another: ${stdout}, not beyond ${before.count}`);
    }
    if (performance.now() > until) throw new DormouseError('internal', 'the counter does not answer');
    await delay(LOOK_EVERY_MS);
  }
}
