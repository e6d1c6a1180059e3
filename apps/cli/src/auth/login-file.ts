import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { readJsonObject, writeJsonFile } from '../json-file.js';

/** A login as it is kept. */
export interface StoredLogin {
  readonly token: string;
  readonly expiresAt: string;
  readonly email: string;
  readonly team: string;
}

/** Where logins are kept, one for each server: a file of the person, not of a data directory. */
export function loginFile(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const configured = env.XDG_CONFIG_HOME;
  // The XDG specification has relative paths ignored.
  const base = configured?.startsWith('/') ? configured : join(homedir(), '.config');
  return join(base, 'dormouse', 'logins.json');
}

/** The login at a server, whether it is over or not. A token is never sent to another server than it came from. */
export function readLogin(apiUrl: string, path: string = loginFile()): StoredLogin | undefined {
  const login = readJsonObject(path)?.[serverName(apiUrl)];
  if (typeof login !== 'object' || login === null) return undefined;
  const { token, expiresAt, email, team } = login as Record<string, unknown>;
  if ([token, expiresAt, email, team].every((value) => typeof value === 'string'))
    return login as StoredLogin;
  throw new DormouseError('setup_failed', `${path} is damaged`, {
    suggestion: 'Remove it and log in again.',
  });
}

/** Keeps a login in a file that only its owner reads. */
export function writeLogin(apiUrl: string, login: StoredLogin, path: string = loginFile()): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeJsonFile(path, { ...readJsonObject(path), [serverName(apiUrl)]: login });
}

/** Whether there was a login to forget. */
export function forgetLogin(apiUrl: string, path: string = loginFile()): boolean {
  const logins = { ...readJsonObject(path) };
  const name = serverName(apiUrl);
  if (!(name in logins)) return false;
  delete logins[name];
  writeJsonFile(path, logins);
  return true;
}

function serverName(apiUrl: string): string {
  return apiUrl.replace(/\/+$/, '');
}
