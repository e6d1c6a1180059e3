import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { DormouseError, systemErrorCode } from '@dormouse/errors';

/**
 * The object in a JSON file, or undefined when there is no such file.
 *
 * @throws DormouseError `setup_failed` when the file holds anything else
 */
export function readJsonObject(path: string): Readonly<Record<string, unknown>> | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = systemErrorCode(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'EACCES') throw new DormouseError('not_permitted', `cannot read ${path}`, { cause });
    throw cause;
  }
  const value = parseJsonObject(text);
  if (value) return value;
  throw new DormouseError('setup_failed', `${path} is damaged`, { suggestion: 'Remove it and start again.' });
}

/** Replaces a JSON file in one step; readable by its owner alone. */
export function writeJsonFile(path: string, value: unknown): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}

/** The object a JSON text stands for, or undefined when it stands for anything else. */
export function parseJsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
