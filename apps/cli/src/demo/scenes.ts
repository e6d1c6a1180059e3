import { DormouseError } from '@dormouse/errors';
import type { Sandbox } from '@dormouse/sdk';
import { expectOutput } from './server.js';

const FILE = '/tmp/letter.txt';
const LETTER = 'A dormouse sleeps and wakes where it was.\n';
const STREAMED_LINES = 5;

/** One thing shown on one sandbox. */
export interface Scene {
  readonly title: string;
  /** What is to be said about it. */
  readonly play: (sandbox: Sandbox) => Promise<string>;
}

/** What a sandbox is used for while it is awake. */
export const SCENES: readonly Scene[] = [
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
  { title: 'read it back', play: readLetter },
  { title: 'stream output', play: streamLines },
];

/** Reads the file that was written, and checks it. */
export async function readLetter(sandbox: Sandbox): Promise<string> {
  expectOutput(FILE, await sandbox.files.readText(FILE), LETTER);
  return LETTER.trim();
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
