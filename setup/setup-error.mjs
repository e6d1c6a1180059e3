/**
 * A failure of setup that is told to people in one line, with what to do about it.
 *
 * Setup runs before anything is built, so it cannot use `@dormouse/errors`; the exit codes are those of its table.
 */
export class SetupError extends Error {
  /**
   * @param {string} message what happened, one line
   * @param {{ suggestion?: string, output?: string, exitCode?: number, code?: string, cause?: unknown }} [options]
   *   `output`: the last lines of the tool that failed
   */
  constructor(message, options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SetupError';
    this.code = options.code ?? 'setup_failed';
    this.suggestion = options.suggestion;
    this.output = options.output;
    this.exitCode = options.exitCode ?? 5;
  }
}

/**
 * The text of an error for a terminal: one line, the suggestion, and above them what the failed tool said.
 *
 * @param {unknown} thrown
 * @param {boolean} debug whether to show a stack trace
 * @returns {{ text: string, exitCode: number }}
 */
export function describeError(thrown, debug) {
  const error = thrown instanceof SetupError ? thrown : undefined;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const lines = [];
  if (error?.output) lines.push(error.output.replace(/^/gm, '  | '));
  lines.push(`error: ${message}`);
  if (error?.suggestion) lines.push(`  ${error.suggestion}`);
  if (debug && thrown instanceof Error && thrown.stack) lines.push(thrown.stack);
  return { text: `${lines.join('\n')}\n`, exitCode: error?.exitCode ?? 5 };
}
