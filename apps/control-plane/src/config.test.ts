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
    quotas: { running: 200, paused: 2_000, snapshotBytes: 1_099_511_627_776 },
    supervised: false,
    signUpOpen: true,
    limits: {
      signUps: { limit: 10, windowSec: 3600 },
      logIns: { limit: 30, windowSec: 300 },
      logInsOfEmail: { limit: 10, windowSec: 900 },
      keyFailures: { limit: 60, windowSec: 60 },
    },
    trustedProxies: 0,
    auditDays: 365,
    webhooksMayBePrivate: false,
  });
});

test('a quota of 0 is none', () => {
  const { quotas } = readConfig({ ...ENOUGH, DORMOUSE_MAX_RUNNING: '0', DORMOUSE_MAX_PAUSED: '7' });
  expect(quotas).toMatchObject({ running: null, paused: 7 });
});

test('webhooks lead to private addresses only where that is said in so many words', () => {
  const read = (value: string) => readConfig({ ...ENOUGH, DORMOUSE_WEBHOOK_PRIVATE: value });
  expect([read('allow'), read('refuse')].map((config) => config.webhooksMayBePrivate)).toEqual([true, false]);
  expect(() => read('yes')).toThrow(/^DORMOUSE_WEBHOOK_PRIVATE must be refuse or allow$/);
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

test('limits are times and seconds', () => {
  const { limits } = readConfig({ ...ENOUGH, DORMOUSE_LOGINS_PER_EMAIL: '3/60' });
  expect(limits.logInsOfEmail).toEqual({ limit: 3, windowSec: 60 });
  for (const value of ['0/60', '3', '3/0', '3/60s', '-1/60', '']) {
    expect(() => readConfig({ ...ENOUGH, DORMOUSE_LOGINS_PER_EMAIL: value })).toThrow(
      /^DORMOUSE_LOGINS_PER_EMAIL must be a number of times and of seconds, e\.g\. 10\/3600$/,
    );
  }
  expect(() => readConfig({ ...ENOUGH, DORMOUSE_TRUSTED_PROXIES: '17' })).toThrow(
    /^DORMOUSE_TRUSTED_PROXIES must be a whole number from 0 to 16$/,
  );
});

test('hazard 21: a refused value is not repeated', () => {
  expect(() => readConfig({ ...ENOUGH, DATABASE_URL: 'mysql://u:hunter2@h/d' })).toThrow(
    /^(?!.*hunter2).*DATABASE_URL must begin with postgresql:\/\/$/,
  );
});
