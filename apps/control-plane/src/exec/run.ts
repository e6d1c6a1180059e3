import { type ExecRequest, type ExecResult, MAX_EXEC_OUTPUT_BYTES } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { ExecExited, HostClient } from '@dormouse/host-api';
import type { z } from 'zod';
import { hostStream } from '../host-call.js';
import { toCommand } from './command.js';
import { execRequest, type HostExecRequest } from './host-requests.js';
import { BoundedOutput, encodeOutputs } from './output.js';
import { processEnd } from './signals.js';

/** stdin goes to the host in pieces of this size, so that they interleave with others on the connection. */
const STDIN_CHUNK_BYTES = 65_536;

/**
 * Runs a command to its end and answers its output. Beyond the bound output is read and discarded, so that the
 * process is never stuck writing.
 *
 * @param signal fires when the caller goes away; the process is killed then
 * @throws DormouseError `timeout`, or what the host says
 */
export async function runCommand(
  host: HostClient['host'],
  sandboxId: string,
  wanted: z.output<typeof ExecRequest>,
  signal: AbortSignal,
): Promise<ExecResult> {
  const started = performance.now();
  const stdin = stdinBytes(wanted);
  const stdout = new BoundedOutput(MAX_EXEC_OUTPUT_BYTES);
  const stderr = new BoundedOutput(MAX_EXEC_OUTPUT_BYTES);
  let exited: ExecExited | undefined;
  for await (const { message } of hostStream(host.exec(requests(sandboxId, wanted, stdin), { signal }))) {
    if (message.case === 'stdout') stdout.push(message.value);
    else if (message.case === 'stderr') stderr.push(message.value);
    else if (message.case === 'exited') exited = message.value;
  }
  if (exited === undefined) {
    throw new DormouseError('unavailable', 'the connection to the process was lost before it ended');
  }
  const { encoding, texts } = encodeOutputs([stdout.bytes(), stderr.bytes()]);
  return {
    stdout: texts[0] ?? '',
    stderr: texts[1] ?? '',
    ...processEnd(exited.exitCode, exited.signal),
    duration_ms: Math.round(performance.now() - started),
    encoding,
    truncated: stdout.truncated || stderr.truncated,
  };
}

function stdinBytes({ stdin, stdin_encoding }: z.output<typeof ExecRequest>): Buffer | undefined {
  if (stdin === undefined) return undefined;
  return decodeInput('stdin', stdin, stdin_encoding);
}

/**
 * Bytes that were written in a JSON string.
 *
 * @throws DormouseError `invalid_request` where they are no base64
 */
export function decodeInput(field: string, text: string, encoding: 'utf-8' | 'base64'): Buffer {
  if (
    encoding === 'base64' &&
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)
  ) {
    throw new DormouseError('invalid_request', `${field}: must be base64`);
  }
  return Buffer.from(text, encoding);
}

async function* requests(
  sandboxId: string,
  wanted: z.output<typeof ExecRequest>,
  stdin: Buffer | undefined,
): AsyncGenerator<HostExecRequest> {
  yield execRequest('start', {
    sandboxId,
    ...toCommand(wanted),
    stdin: stdin !== undefined,
    killOnDisconnect: true,
  });
  if (stdin === undefined) return;
  for (let at = 0; at < stdin.length; at += STDIN_CHUNK_BYTES) {
    yield execRequest('stdin', stdin.subarray(at, at + STDIN_CHUNK_BYTES));
  }
  yield execRequest('closeStdin', {});
}
