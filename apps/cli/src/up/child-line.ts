import { DormouseError, isErrorCode } from '@dormouse/errors';
import { parseJsonObject } from '../json-file.js';

/** A line of JSON that a program of ours printed. */
export type ChildLine = Readonly<Record<string, unknown>>;

/** The object on a line, or undefined when it is other output. */
export function readChildLine(line: string): ChildLine | undefined {
  return parseJsonObject(line);
}

/** The error a program reports as `{"error":{"code","message","suggestion"}}`, if the line is one. */
export function errorOfLine(line: ChildLine): DormouseError | undefined {
  const { error } = line;
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, message, suggestion } = error as Record<string, unknown>;
  return new DormouseError(
    typeof code === 'string' && isErrorCode(code) ? code : 'setup_failed',
    typeof message === 'string' ? message : 'a part of Dormouse failed without saying why',
    typeof suggestion === 'string' && suggestion !== '' ? { suggestion } : {},
  );
}
