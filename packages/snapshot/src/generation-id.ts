import { randomInt } from 'node:crypto';

/** Length of a generation id: `gn` and 26 characters of 36, which is 134 bits nobody can guess. */
export const GENERATION_ID_LENGTH = 28;

/** What generation ids look like. They name directories, so nothing else may ever pass for one. */
export const GENERATION_ID: RegExp = /^gn[a-z0-9]{26}$/;

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** A new id. Who knows it can reach the generation's disk layer by path; nobody finds it by looking. */
export function newGenerationId(): string {
  const suffix = Array.from({ length: GENERATION_ID_LENGTH - 2 }, () => ALPHABET[randomInt(ALPHABET.length)]);
  return `gn${suffix.join('')}`;
}
