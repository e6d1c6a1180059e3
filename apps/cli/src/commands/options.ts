import { type Command, InvalidArgumentError } from 'commander';

/** Options that say where the server is and how to answer. */
export interface ConnectionFlags {
  readonly apiUrl?: string;
  readonly apiKey?: string;
  readonly data?: string;
  readonly json?: boolean;
}

/** Gives a command the options of {@link ConnectionFlags}. */
export function withConnection(command: Command): Command {
  return withServer(command).option(
    '--api-key <key>',
    'API key (default: DORMOUSE_API_KEY, else your login, else the one of the data directory)',
  );
}

/** Gives a command the options that say where the server is, for those that need no key. */
export function withServer(command: Command): Command {
  return withJson(command)
    .option('--api-url <url>', 'server (default: DORMOUSE_API_URL, else the running `up`)')
    .option('--data <dir>', 'data directory (default: DORMOUSE_DATA, else /var/lib/dormouse)');
}

export function withJson(command: Command): Command {
  return command.option('--json', 'answer in JSON');
}

/** A whole number in bounds. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`Must be a whole number from ${minimum} to ${maximum}.`);
  };
}

/** Collects `KEY=VALUE` of an option that may be repeated. */
export function keyValue(
  text: string,
  previous: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Must be KEY=VALUE.');
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Seconds, fractions allowed, as milliseconds. */
export function secondsAsMs(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && Number.isFinite(value)) return Math.round(value * 1000);
  throw new InvalidArgumentError('Must be a number of seconds.');
}
