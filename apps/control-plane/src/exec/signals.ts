import { constants } from 'node:os';
import { DormouseError } from '@dormouse/errors';

/** What shells add to a signal's number to make an exit code of it. */
const SIGNAL_EXIT_BASE = 128;

const NUMBERS: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals));
const NAMES: ReadonlyMap<number, string> = new Map(
  // Later duplicates (SIGIOT, SIGPOLL) are aliases; the first name is the usual one.
  [...NUMBERS].reverse().map(([name, number]) => [number, name]),
);

/**
 * The number of a signal as Linux has it.
 *
 * @param name with or without `SIG`, in any case
 * @throws DormouseError `invalid_request`
 */
export function signalNumber(name: string): number {
  const upper = name.toUpperCase();
  const number = NUMBERS.get(upper) ?? NUMBERS.get(`SIG${upper}`);
  if (number !== undefined) return number;
  throw new DormouseError('invalid_request', `signal: there is no signal ${JSON.stringify(name)}`);
}

/** How a process ended, as /v1 says it. */
export interface ProcessEnd {
  /** 128 + number when a signal ended it. */
  readonly exit_code: number;
  readonly signal: string | null;
}

/** How a process ended. The host reports signal 0 for a process that left by itself. */
export function processEnd(exitCode: number, signal: number): ProcessEnd {
  if (signal === 0) return { exit_code: exitCode, signal: null };
  return { exit_code: SIGNAL_EXIT_BASE + signal, signal: NAMES.get(signal) ?? `SIG${signal}` };
}
