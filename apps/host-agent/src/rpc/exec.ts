import { create } from '@bufbuild/protobuf';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import {
  type ExecAttach,
  type ExecRequest,
  type ExecResponse,
  ExecResponseSchema,
  type ExecStart,
} from '@dormouse/host-api';
import type { Guest, GuestProcess, SandboxHost } from '@dormouse/sandbox';

const SIGKILL = 9;
const KILL_TIMEOUT_MS = 10_000;
/** Beyond this the process has been killed and something else holds its output. */
const TIMEOUT_GRACE_MS = 5_000;

/**
 * Runs or attaches to a process, between two streams. The caller's reading sets the pace: what it does not take,
 * the guest keeps, and the process waits.
 */
export async function* exec(
  host: SandboxHost,
  requests: AsyncIterable<ExecRequest>,
  signal: AbortSignal,
): AsyncGenerator<ExecResponse> {
  const input = requests[Symbol.asyncIterator]();
  const first = (await input.next()).value?.message;
  if (first?.case !== 'start' && first?.case !== 'attach') {
    throw new DormouseError('invalid_request', 'the first message of an exec is start or attach');
  }
  const sandbox = host.get(first.value.sandboxId);
  // Until this call ends the sandbox is in use, however silent the process is.
  using use = await sandbox.use();
  const { guest } = use;
  const process = await (first.case === 'start'
    ? start(guest, first.value, signal)
    : attach(guest, first.value, signal));
  const timeoutMs = first.case === 'start' ? Number(first.value.timeoutMs) : 0;
  const killOnDisconnect = first.case === 'start' && first.value.killOnDisconnect;
  const deadline = new Deadline(process, timeoutMs);
  let ended = false;
  let lettingGo: Promise<void> | undefined;
  // A caller that goes away while the process is silent wakes nobody here, so its going does.
  const onGone = (): void => {
    lettingGo ??= letGo(process, killOnDisconnect);
  };
  signal.addEventListener('abort', onGone);
  try {
    if (signal.aborted) onGone();
    yield create(ExecResponseSchema, { message: { case: 'started', value: { pid: process.pid } } });
    const pump = pumpInput(input, process);
    for await (const { channel, data } of process.output) {
      yield create(ExecResponseSchema, { message: { case: channel, value: data } });
    }
    const { exitCode, signal: exitSignal } = await process.exit;
    ended = true;
    deadline.check();
    if (pump.error !== undefined) throw pump.error;
    yield create(ExecResponseSchema, {
      message: { case: 'exited', value: { exitCode, signal: exitSignal } },
    });
  } catch (error) {
    deadline.check();
    throw error;
  } finally {
    deadline.clear();
    signal.removeEventListener('abort', onGone);
    if (!ended) onGone();
    await lettingGo;
  }
}

function start(guest: Guest, request: ExecStart, signal: AbortSignal): Promise<GuestProcess> {
  if (request.argv.length === 0) throw new DormouseError('invalid_request', 'argv is empty');
  const { terminal } = request;
  return guest.startProcess(
    {
      argv: request.argv,
      environment: request.envs,
      input: request.stdin || terminal !== undefined,
      ...(request.user === '' ? {} : { user: request.user }),
      ...(request.cwd === '' ? {} : { cwd: request.cwd }),
      ...(request.tag === '' ? {} : { tag: request.tag }),
      ...(terminal === undefined ? {} : { terminal: { columns: terminal.cols, rows: terminal.rows } }),
    },
    // A start that is given up may have happened already; what shall be killed must first be known.
    request.killOnDisconnect ? {} : { signal },
  );
}

function attach(guest: Guest, request: ExecAttach, signal: AbortSignal): Promise<GuestProcess> {
  return guest.attachProcess(request.pid, { backlog: request.backlog, signal });
}

/** Kills the process when its time is up, and remembers that it did. */
class Deadline {
  readonly #timeoutMs: number;
  readonly #timers: NodeJS.Timeout[] = [];
  #passed = false;

  constructor(process: GuestProcess, timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    if (timeoutMs === 0) return;
    this.#timers.push(
      setTimeout(() => {
        this.#passed = true;
        process.signal(SIGKILL).catch(() => {});
      }, timeoutMs),
      setTimeout(() => void process.detach().catch(() => {}), timeoutMs + TIMEOUT_GRACE_MS),
    );
  }

  /** @throws DormouseError `timeout` when the time was up */
  check(): void {
    if (!this.#passed) return;
    throw new DormouseError('timeout', `the command was ended after ${this.#timeoutMs / 1_000} s`, {
      suggestion: 'Allow it more time, or start it in the background.',
    });
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

/** Passes the caller's input on until it ends; what goes wrong is kept for whoever reports the process's end. */
function pumpInput(
  input: AsyncIterator<ExecRequest>,
  process: GuestProcess,
): { readonly error?: DormouseError } {
  const pump: { error?: DormouseError } = {};
  const run = async (): Promise<void> => {
    for (;;) {
      const next = await input.next();
      if (next.done === true) return;
      await passOn(next.value, process);
    }
  };
  run().catch((thrown: unknown) => {
    const error = fromUnknown(thrown);
    // Input to a process that has closed it or ended is nobody's mistake: pipes behave the same.
    if (error.code !== 'invalid_state' && error.code !== 'not_found' && error.code !== 'cancelled')
      pump.error = error;
  });
  return pump;
}

async function passOn(request: ExecRequest, process: GuestProcess): Promise<void> {
  const { message } = request;
  switch (message.case) {
    case 'stdin':
      return await process.writeInput(message.value);
    case 'closeStdin':
      return await process.closeInput();
    case 'resize':
      return await process.resize({ columns: message.value.cols, rows: message.value.rows });
    case 'signal':
      return await process.signal(message.value);
    case 'start':
    case 'attach':
    case undefined:
      throw new DormouseError('invalid_request', 'only the first message of an exec starts or attaches');
  }
}

/** The caller has gone before the end. */
async function letGo(process: GuestProcess, kill: boolean): Promise<void> {
  process.discardOutput();
  if (kill) await process.signal(SIGKILL, { timeoutMs: KILL_TIMEOUT_MS }).catch(() => {});
  await process.detach().catch(() => {});
}
