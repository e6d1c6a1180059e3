import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { WebSocket } from 'ws';
import { errorFromAnswer } from './api-error.js';
import type { CallOptions, ResolvedOptions } from './client-options.js';
import { startDeadline } from './deadline.js';

/** Longest message accepted from the server, whose own are far smaller. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** Longest error body that is read. */
const MAX_ERROR_BODY_BYTES = 64 * 1024;

/**
 * Opens a WebSocket of the API.
 *
 * @param path begins with `/`
 * @throws DormouseError what the server answered, `unavailable`, `timeout` or `cancelled`
 */
export async function openSocket(
  options: ResolvedOptions,
  path: string,
  call: CallOptions,
): Promise<WebSocket> {
  using deadline = startDeadline(call.timeoutMs ?? options.timeoutMs, call.signal, `GET ${path}`);
  const already = deadline.error();
  if (already) throw already;
  const socket = new WebSocket(`${options.apiUrl.replace(/^http/, 'ws')}${path}`, {
    headers: options.credentials,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  // Stays for the socket's life: an 'error' event without a listener would end the program.
  socket.on('error', () => {});
  // Awaited here: the limits are lifted at the end of this function.
  return await new Promise<WebSocket>((resolve, reject) => {
    const giveUp = (): void => {
      reject(deadline.error());
      socket.terminate();
    };
    deadline.signal.addEventListener('abort', giveUp, { once: true });
    socket.once('open', () => {
      deadline.signal.removeEventListener('abort', giveUp);
      resolve(socket);
    });
    socket.once('unexpected-response', (_request, answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        if (body.length < MAX_ERROR_BODY_BYTES) body += chunk;
      });
      answer.once('close', () => {
        reject(errorFromAnswer(answer.statusCode ?? 0, body));
        socket.terminate();
      });
    });
    socket.once('error', (cause) => {
      const code = systemErrorCode(cause) ?? cause.message;
      const suggestion = 'Is `dormouse up` running there?';
      reject(
        new DormouseError('unavailable', `cannot reach ${options.apiUrl} (${code})`, { cause, suggestion }),
      );
    });
  });
}
