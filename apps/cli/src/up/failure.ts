import { DormouseError, type ErrorCode, isErrorCode } from '@dormouse/errors';
import { parseJsonObject } from '../json-file.js';
import { printable } from '../terminal/printable.js';
import { lastLines } from './logs.js';

/**
 * The error of a program of ours that failed: what the last line of its log says. Logs are lines of JSON with
 * `msg`, and `code` and `suggestion` where a program ended on an error; or plain text.
 *
 * @param offset where its log began
 */
export function failureOf(what: string, log: string, offset: number): DormouseError {
  const last = lastLines(log, offset, 1)[0];
  const { msg, code, suggestion } = parseJsonObject(last ?? '') ?? {};
  const said = typeof msg === 'string' ? msg : last;
  const message = said === undefined ? what : `${what}: ${printable(said)}`;
  const known: ErrorCode = typeof code === 'string' && isErrorCode(code) ? code : 'setup_failed';
  return new DormouseError(known, message, {
    suggestion: typeof suggestion === 'string' && suggestion !== '' ? suggestion : `Its log: ${log}`,
  });
}
