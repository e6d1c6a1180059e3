import { DormouseError } from '@dormouse/errors';
import type { Sandbox } from '@dormouse/sdk';
import type { ConnectionFlags } from '../commands/options.js';
import { answerJson, answerTable } from '../terminal/answer.js';
import { humanMs } from '../terminal/human.js';
import { createSteps, inStep } from '../terminal/steps.js';
import { expectOutput, findServer } from './server.js';

const FILE = '/tmp/letter.txt';
const LETTER = 'A dormouse sleeps and wakes where it was.\n';
const STREAMED_LINES = 5;

/** One thing shown. */
interface Scene {
  readonly title: string;
  readonly play: (sandbox: Sandbox) => Promise<string>;
}

const SCENES: readonly Scene[] = [
  { title: 'run Python', play: (sandbox) => answerOf(sandbox, "python3 -c 'print(6 * 7)'", '42\n') },
  {
    title: 'run Node.js',
    play: (sandbox) => answerOf(sandbox, "node -e 'console.log([1, 2, 3].at(-1))'", '3\n'),
  },
  {
    title: 'run a shell command',
    play: (sandbox) => answerOf(sandbox, 'echo "$((2 ** 10))" | tr 0 o', '1o24\n'),
  },
  {
    title: 'write a file',
    play: async (sandbox) => {
      await sandbox.files.write(FILE, LETTER);
      return FILE;
    },
  },
  {
    title: 'read it back',
    play: async (sandbox) => {
      expectOutput(FILE, await sandbox.files.readText(FILE), LETTER);
      return LETTER.trim();
    },
  },
  { title: 'stream output', play: streamLines },
];

/** Plays every scene on one sandbox and says how long each took. */
export async function runDemo(flags: ConnectionFlags): Promise<void> {
  const steps = createSteps(process.stderr);
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort(new DormouseError('cancelled', 'interrupted'));
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  const timings: { step: string; ms: number; answer: string }[] = [];
  const timed = async <T>(
    title: string,
    work: () => Promise<T>,
    answerFrom: (value: T) => string,
  ): Promise<T> => {
    interrupted.signal.throwIfAborted();
    const begin = performance.now();
    const value = await inStep(steps, title, work);
    timings.push({ step: title, ms: Math.round(performance.now() - begin), answer: answerFrom(value) });
    return value;
  };
  try {
    await using server = await findServer(flags, steps, interrupted.signal);
    const create = () => server.client.sandboxes.create({ metadata: { made: 'by the demo' } });
    await using sandbox = await timed('boot a sandbox', create, ({ id }) => id);
    for (const { title, play } of SCENES)
      await timed(
        title,
        () => play(sandbox),
        (answer) => answer,
      );
    await timed(
      'remove the sandbox',
      () => sandbox.delete(),
      () => '',
    );
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

async function answerOf(sandbox: Sandbox, command: string, expected: string): Promise<string> {
  const { stdout, stderr, exitCode } = await sandbox.exec(command);
  if (exitCode !== 0) throw new DormouseError('internal', `${command} ended with ${exitCode}: ${stderr}`);
  expectOutput(command, stdout, expected);
  return stdout.trim();
}

async function streamLines(sandbox: Sandbox): Promise<string> {
  const command = `for i in $(seq ${STREAMED_LINES}); do echo $i; sleep 0.1; done`;
  await using process = await sandbox.spawn(command, { stdin: false });
  let text = '';
  let pieces = 0;
  for await (const event of process) {
    if (event.type !== 'stdout') continue;
    text += Buffer.from(event.data).toString();
    pieces += 1;
  }
  expectOutput(command, text, '1\n2\n3\n4\n5\n');
  return `${STREAMED_LINES} lines in ${pieces} pieces`;
}
