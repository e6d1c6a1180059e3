import { DormouseError } from '@dormouse/errors';

/** No password is longer, so nobody has to read on. */
const MAX_BYTES = 4096;

/**
 * A password: typed unseen on a terminal, else the first line of standard input. Never from the command line, which
 * every process on the machine can read.
 *
 * @param twice have it typed twice: nobody knows it yet
 */
export async function askPassword({ twice = false }: { twice?: boolean } = {}): Promise<string> {
  if (!process.stdin.isTTY) return firstLine(process.stdin);
  const password = await typed('Password');
  if (twice && (await typed('The same again')) !== password) {
    throw new DormouseError('invalid_request', 'the two passwords are not the same');
  }
  return password;
}

async function typed(message: string): Promise<string> {
  const { isCancel, password } = await import('@clack/prompts');
  const answer = await password({ message, output: process.stderr });
  if (isCancel(answer)) throw new DormouseError('cancelled', 'no password was given');
  return answer;
}

/** @throws DormouseError `invalid_request` when there is none */
export async function firstLine(input: AsyncIterable<Uint8Array | string>): Promise<string> {
  let bytes = Buffer.alloc(0);
  for await (const piece of input) {
    bytes = Buffer.concat([bytes, Buffer.from(piece)]);
    if (bytes.includes('\n') || bytes.length > MAX_BYTES) break;
  }
  const line = bytes.toString('utf8').split('\n')[0]?.replace(/\r$/, '') ?? '';
  if (line !== '') return line;
  throw new DormouseError('invalid_request', 'no password on standard input', {
    suggestion: 'Type it on a terminal, or write it to standard input.',
  });
}
