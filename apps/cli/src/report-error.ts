import { type DormouseError, fromUnknown } from '@dormouse/errors';
import { CommanderError } from 'commander';

/** What to print on stderr, and the exit code. */
export interface ErrorReport {
  readonly text: string;
  readonly exitCode: number;
}

/** Exit code of a command line that was not understood. */
const USAGE_EXIT_CODE = 2;

/**
 * One line saying what happened and one saying what to do; or the same as JSON.
 *
 * @param debug show the stack trace and the causes
 */
export function reportError(thrown: unknown, options: { json: boolean; debug: boolean }): ErrorReport {
  if (thrown instanceof CommanderError) return usageReport(thrown, options.json);
  const error = fromUnknown(thrown);
  const requestId = 'requestId' in error ? error.requestId : undefined;
  if (options.json) {
    const { code, message, suggestion } = error;
    return { text: jsonLine({ code, message, suggestion, requestId }), exitCode: error.exitCode };
  }
  const lines = [`error: ${oneLine(error.message)}`];
  if (error.suggestion !== undefined) lines.push(`  ${error.suggestion}`);
  if (error.code === 'internal' && typeof requestId === 'string') lines.push(`  request id: ${requestId}`);
  if (options.debug) lines.push(...stacks(error));
  return { text: `${lines.join('\n')}\n`, exitCode: error.exitCode };
}

/** commander has printed its own message by now, except in JSON. */
function usageReport(error: CommanderError, json: boolean): ErrorReport {
  if (error.exitCode === 0) return { text: '', exitCode: 0 };
  const message = error.message.replace(/^error: /, '');
  const text = json ? jsonLine({ code: 'invalid_request', message }) : '';
  return { text, exitCode: USAGE_EXIT_CODE };
}

function jsonLine(error: object): string {
  return `${JSON.stringify({ error })}\n`;
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ');
}

function stacks(error: DormouseError): string[] {
  const lines: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) lines.push(at.stack ?? at.message);
  return lines;
}
