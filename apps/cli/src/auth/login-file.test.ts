import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { forgetLogin, loginFile, readLogin, type StoredLogin, writeLogin } from './login-file.js';

const LOGIN: StoredLogin = {
  token: 'eyJ.a.b',
  expiresAt: '2026-01-31T09:30:00.000Z',
  email: 'ada@example.org',
  team: 'Engines',
};

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-login-'));
  path = loginFile({ XDG_CONFIG_HOME: directory });
});
afterEach(() => rmSync(directory, { recursive: true }));

test('hazard 21: a login is kept in a file that only its owner reads', () => {
  expect(path).toBe(join(directory, 'dormouse', 'logins.json'));
  writeLogin('http://127.0.0.1:4050/', LOGIN, path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(directory, 'dormouse')).mode & 0o777).toBe(0o700);
  expect(readLogin('http://127.0.0.1:4050', path)).toEqual(LOGIN);
});

test('each server has its own, and none is used for another', () => {
  writeLogin('http://a', LOGIN, path);
  writeLogin('http://b', { ...LOGIN, token: 'eyJ.c.d' }, path);
  expect(readLogin('http://a', path)?.token).toBe('eyJ.a.b');
  expect(readLogin('http://c', path)).toBeUndefined();
  expect([forgetLogin('http://a', path), forgetLogin('http://a', path)]).toEqual([true, false]);
  expect(readLogin('http://a', path)).toBeUndefined();
  expect(readLogin('http://b', path)?.token).toBe('eyJ.c.d');
  expect(readFileSync(path, 'utf8')).not.toContain('eyJ.a.b');
});

test('a damaged file is said to be one', () => {
  writeLogin('http://a', LOGIN, path);
  for (const text of ['{', '{"http://a":{"token":7}}']) {
    writeFileSync(path, text);
    expect(() => readLogin('http://a', path)).toThrow(`${path} is damaged`);
  }
});

test('without configuration it is in the home directory', () => {
  for (const env of [{}, { XDG_CONFIG_HOME: '' }, { XDG_CONFIG_HOME: 'relative' }]) {
    expect(loginFile(env)).toMatch(/^\/.*\/\.config\/dormouse\/logins\.json$/);
  }
});
