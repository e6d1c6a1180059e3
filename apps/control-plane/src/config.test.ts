import { expect, test } from 'vitest';
import { readConfig } from './config.js';

const ENOUGH = {
  DATABASE_URL: 'postgresql://u:secret@/d?host=/run',
  DORMOUSE_HOST_SOCKET: '/run/host.sock',
  DORMOUSE_CREDENTIALS: '/data/credentials.json',
};

test('what is left out has a default', () => {
  expect(readConfig(ENOUGH)).toEqual({
    databaseUrl: ENOUGH.DATABASE_URL,
    hostSocket: '/run/host.sock',
    apiHost: '127.0.0.1',
    apiPort: 4050,
    credentialsPath: '/data/credentials.json',
    logLevel: 'info',
    supervised: false,
  });
});

test('every wrong variable is named in one line', () => {
  expect(() => readConfig({})).toThrow(
    "DATABASE_URL must be set, e.g. postgresql://user:password@localhost/dormouse; DORMOUSE_HOST_SOCKET must be set: the host agent's Unix socket; DORMOUSE_CREDENTIALS must be set: the path of credentials.json",
  );
  expect(() => readConfig({ ...ENOUGH, DORMOUSE_API_PORT: '99999' })).toThrow(
    /^DORMOUSE_API_PORT must be a port number$/,
  );
  expect(() => readConfig({ ...ENOUGH, DORMOUSE_HOST_SOCKET: `/${'x'.repeat(107)}` })).toThrow(
    'DORMOUSE_HOST_SOCKET must be at most 107 bytes long, the limit of Linux',
  );
});

test('hazard 21: a refused value is not repeated', () => {
  expect(() => readConfig({ ...ENOUGH, DATABASE_URL: 'mysql://u:hunter2@h/d' })).toThrow(
    /^(?!.*hunter2).*DATABASE_URL must begin with postgresql:\/\/$/,
  );
});
