import { setTimeout as wait } from 'node:timers/promises';
import type { BuildStep } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { HostClient } from '@dormouse/host-api';
import { execRequest, type HostExecRequest } from '../exec/host-requests.js';
import { decodeInput } from '../exec/run.js';
import { processEnd } from '../exec/signals.js';
import { hostStream } from '../host-call.js';
import type { BuildLog } from './build-log.js';
import type { BuildContext } from './build-plan.js';

const STDIN_CHUNK_BYTES = 65_536;

/** How long a ready command is asked, how often, and how long one answer may take. */
const READY_PATIENCE_MS = 120_000;
const READY_EVERY_MS = 1_000;

/** Where commands are run, and who hears of it. */
export interface Workshop {
  readonly host: HostClient['host'];
  readonly sandboxId: string;
  readonly log: BuildLog;
  readonly signal: AbortSignal;
}

interface Work {
  readonly argv: string[];
  readonly context: BuildContext;
  readonly timeoutMs: number;
  readonly stdin?: Buffer;
}

/**
 * Does a step that works, telling its output as it comes.
 *
 * @throws DormouseError `invalid_state` when it fails, `timeout`, or what the host says
 */
export async function doStep(
  workshop: Workshop,
  number: number,
  step: Extract<BuildStep, { type: 'run' | 'copy' }>,
  context: BuildContext,
  timeoutMs: number,
): Promise<void> {
  const work =
    step.type === 'run'
      ? { argv: shell(context, step.command), context, timeoutMs }
      : {
          argv: ['/bin/sh', '-e', '-c', COPY, 'sh', step.path, step.mode],
          context,
          timeoutMs,
          stdin: decodeInput('content', step.content, step.encoding),
        };
  const code = await run(workshop, number, work);
  if (code !== 0) throw new DormouseError('invalid_state', `step ${number} ended with exit code ${code}`);
}

const COPY = 'mkdir -p "$(dirname "$1")"; cat > "$1"; chmod "$2" "$1"';

/** The directory of the context is made first. */
const IN_WORKDIR = 'mkdir -p "$1" && cd "$1" && exec /bin/sh -e -c "$2"';

function shell({ workdir }: BuildContext, command: string): string[] {
  return ['/bin/sh', '-c', IN_WORKDIR, 'sh', workdir, command];
}

/** Starts a command and leaves it running. */
export async function startDetached(
  { host, sandboxId, signal }: Workshop,
  command: string,
  context: BuildContext,
): Promise<void> {
  const work = { argv: shell(context, command), context, timeoutMs: 0 };
  const requests = requestsFor(sandboxId, work, false);
  for await (const { message } of hostStream(host.exec(requests, ofItsOwn(signal)))) {
    if (message.case === 'started') return;
  }
  throw new DormouseError('invalid_state', 'the start command did not start');
}

/** Asks the ready command until it succeeds. @throws DormouseError `timeout` when it does not in time */
export async function untilReady(workshop: Workshop, command: string, context: BuildContext): Promise<void> {
  const until = performance.now() + READY_PATIENCE_MS;
  for (;;) {
    const left = Math.ceil(until - performance.now());
    if (left <= 0) break;
    const work = { argv: shell(context, command), context, timeoutMs: left };
    try {
      if ((await run(workshop, 0, work)) === 0) return;
    } catch (thrown) {
      if (!(thrown instanceof DormouseError) || thrown.code !== 'timeout') throw thrown;
    }
    await wait(READY_EVERY_MS, undefined, { signal: workshop.signal });
  }
  throw new DormouseError(
    'timeout',
    `the ready command did not succeed within ${READY_PATIENCE_MS / 1000} s`,
  );
}

/** A signal for one call: calls do not let go of their listeners, and a build makes many. */
function ofItsOwn(signal: AbortSignal): { readonly signal: AbortSignal } {
  return { signal: AbortSignal.any([signal]) };
}

/** Runs a command to its end and answers its exit code; 128 and more: a signal ended it. */
async function run({ host, sandboxId, log, signal }: Workshop, number: number, work: Work): Promise<number> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const requests = requestsFor(sandboxId, work, true);
  for await (const { message } of hostStream(host.exec(requests, ofItsOwn(signal)))) {
    switch (message.case) {
      case 'stdout':
      case 'stderr':
        await log.write(number, message.case, decoders[message.case].decode(message.value, { stream: true }));
        break;
      case 'exited': {
        for (const stream of ['stdout', 'stderr'] as const) {
          await log.write(number, stream, decoders[stream].decode());
        }
        return processEnd(message.value.exitCode, message.value.signal).exit_code;
      }
    }
  }
  throw new DormouseError('unavailable', 'the connection to the process was lost before it ended');
}

async function* requestsFor(
  sandboxId: string,
  { argv, context, timeoutMs, stdin }: Work,
  killOnDisconnect: boolean,
): AsyncGenerator<HostExecRequest> {
  yield execRequest('start', {
    sandboxId,
    argv,
    envs: { ...context.envs },
    user: context.user,
    stdin: stdin !== undefined,
    timeoutMs: BigInt(timeoutMs),
    killOnDisconnect,
  });
  if (stdin === undefined) return;
  for (let at = 0; at < stdin.length; at += STDIN_CHUNK_BYTES) {
    yield execRequest('stdin', stdin.subarray(at, at + STDIN_CHUNK_BYTES));
  }
  yield execRequest('closeStdin', {});
}
