import { DormouseError } from '@dormouse/errors';
import type { ExecResponse } from '@dormouse/host-api';
import type { Caller, Services } from '../context.js';
import { hostStream } from '../host-call.js';
import { authenticate } from '../http/authentication.js';
import { toClientError } from '../http/errors.js';
import { watchWelcome } from '../http/welcome.js';
import { findRunning } from '../sandboxes/find.js';
import { toCommand } from './command.js';
import { execRequest, type HostExecRequest } from './host-requests.js';
import { decodeInput } from './run.js';
import { processEnd, signalNumber } from './signals.js';
import type { ClientMessage, StreamSocket } from './stream-socket.js';

/** How long a client may take to say who it is. */
export const AUTH_TIMEOUT_MS = 5_000;

/** How long it may then take to say what to run. */
const START_TIMEOUT_MS = 60_000;

/** Who wants to talk to what. */
export interface StreamRequest {
  readonly sandboxId: string;
  /** Who is asking, where the headers said so already. */
  readonly known: Caller | undefined;
  readonly address: string | null;
}

type Opening = Extract<ClientMessage, { type: 'start' | 'attach' }>;

/**
 * Serves one exec stream from its first message to its end.
 *
 * @returns what ended it; undefined when the process did
 */
export async function serveExecStream(
  services: Services,
  socket: StreamSocket,
  { sandboxId, known, address }: StreamRequest,
): Promise<DormouseError | undefined> {
  try {
    const { caller, first } = await identify(services, socket, known, address);
    const opening = await nextOpening(socket, first);
    const { id } = await findRunning(services.store.forTeam(caller.teamId), sandboxId);
    await converse(services, socket, id, opening, caller);
    socket.close();
    return undefined;
  } catch (thrown) {
    const error = toClientError(thrown);
    if (error.code === 'internal') services.log.error({ err: error, sandboxId }, 'exec stream failed');
    socket.fail(error);
    return error;
  }
}

async function identify(
  services: Services,
  socket: StreamSocket,
  known: Caller | undefined,
  address: string | null,
): Promise<{ caller: Caller; first: ClientMessage | undefined }> {
  const patience = known === undefined ? AUTH_TIMEOUT_MS : START_TIMEOUT_MS;
  const late =
    known === undefined
      ? new DormouseError('unauthorized', 'say {"type":"auth","token":"…"} within 5 s')
      : new DormouseError('timeout', 'there was nothing to run within 60 s');
  const first = await nextMessage(socket, patience, late);
  if (first.type === 'auth') {
    return { caller: await authenticate(services, first.token, address), first: undefined };
  }
  if (known === undefined) throw late;
  return { caller: known, first };
}

async function nextOpening(socket: StreamSocket, first: ClientMessage | undefined): Promise<Opening> {
  const late = new DormouseError('timeout', 'there was nothing to run within 60 s');
  const message = first ?? (await nextMessage(socket, START_TIMEOUT_MS, late));
  if (message.type === 'start' || message.type === 'attach') return message;
  throw new DormouseError('invalid_request', `${message.type} comes after start`);
}

async function nextMessage(
  socket: StreamSocket,
  patienceMs: number,
  late: DormouseError,
): Promise<ClientMessage> {
  const timer = setTimeout(() => socket.messages.fail(late), patienceMs);
  try {
    const { done, value } = await socket.messages.next();
    if (!done) return value;
  } finally {
    clearTimeout(timer);
  }
  throw new DormouseError('cancelled', 'the client is gone');
}

/** Carries input to the process and its output back, each no faster than it is taken. */
async function converse(
  services: Services,
  socket: StreamSocket,
  sandboxId: string,
  opening: Opening,
  caller: Caller,
): Promise<void> {
  const { host } = services;
  const misuse = new AbortController();
  using welcome = watchWelcome(services, caller);
  const refused = AbortSignal.any([misuse.signal, welcome.signal]);
  const signal = AbortSignal.any([socket.closed, refused]);
  async function* requests(): AsyncGenerator<HostExecRequest> {
    yield openingRequest(sandboxId, opening);
    try {
      for await (const message of socket.messages) yield inputRequest(message);
    } catch (error) {
      misuse.abort(error);
      throw error;
    }
  }
  try {
    for await (const answer of hostStream(host.exec(requests(), { signal }))) {
      const ended = await forward(socket, answer);
      if (ended) return;
    }
  } catch (error) {
    // The host only sees the call cancelled; the client made the mistake, or has no access any more.
    throw refused.aborted ? refused.reason : error;
  } finally {
    socket.messages.end();
  }
  throw new DormouseError('unavailable', 'the connection to the process was lost before it ended');
}

function openingRequest(sandboxId: string, opening: Opening): HostExecRequest {
  if (opening.type === 'attach') {
    return execRequest('attach', { sandboxId, pid: opening.pid, backlog: opening.backlog });
  }
  return execRequest('start', {
    sandboxId,
    ...toCommand(opening),
    stdin: opening.stdin,
    tag: opening.tag ?? '',
    killOnDisconnect: !opening.detach,
    ...(opening.pty === undefined ? {} : { terminal: opening.pty }),
  });
}

function inputRequest(message: ClientMessage): HostExecRequest {
  switch (message.type) {
    case 'stdin':
      return execRequest('stdin', decodeInput('data', message.data, message.encoding));
    case 'close_stdin':
      return execRequest('closeStdin', {});
    case 'signal':
      return execRequest('signal', signalNumber(message.name));
    case 'resize':
      return execRequest('resize', { cols: message.cols, rows: message.rows });
    case 'auth':
    case 'start':
    case 'attach':
      throw new DormouseError('invalid_request', `${message.type} comes once, at the beginning`);
  }
}

/** Whether this was the end. */
async function forward(socket: StreamSocket, { message }: ExecResponse): Promise<boolean> {
  switch (message.case) {
    case 'started':
      await socket.send({ type: 'start', pid: message.value.pid });
      return false;
    case 'stdout':
    case 'stderr':
      await socket.send({ type: message.case, data: base64(message.value) });
      return false;
    case 'terminal':
      await socket.send({ type: 'pty', data: base64(message.value) });
      return false;
    case 'exited':
      await socket.send({ type: 'exit', ...processEnd(message.value.exitCode, message.value.signal) });
      return true;
    case undefined:
      return false;
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
