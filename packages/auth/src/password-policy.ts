import { dictionary } from '@zxcvbn-ts/language-common';

/** Fewest characters of a password. */
export const MIN_PASSWORD_LENGTH = 8;

/** Most characters: a passphrase of any kind fits, a megabyte to be hashed does not. */
export const MAX_PASSWORD_LENGTH = 256;

/**
 * The passwords that people choose most and that are long enough to be chosen here: some 18,000, from leaks, in lower
 * case. Whoever guesses passwords over a network begins with these and does not get much further.
 */
const COMMON: ReadonlySet<string> = new Set(
  (dictionary['passwords-common'] as readonly string[]).filter(
    (password) => password.length >= MIN_PASSWORD_LENGTH,
  ),
);

/** Whether a password is among those tried first, however its letters are written. */
export function isCommonPassword(password: string): boolean {
  return COMMON.has(password.toLowerCase());
}

/** What is wrong with a password somebody wants to have; undefined when nothing is. */
export function passwordProblem(password: string): string | undefined {
  const length = [...password].length;
  if (length < MIN_PASSWORD_LENGTH) return `must have at least ${MIN_PASSWORD_LENGTH} characters`;
  if (length > MAX_PASSWORD_LENGTH) return `must have at most ${MAX_PASSWORD_LENGTH} characters`;
  if (isCommonPassword(password)) return 'is one of the most common passwords; choose another';
  return undefined;
}
