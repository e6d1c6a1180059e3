import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { createLogger } from './log.js';

function logLine(value: object): string {
  const sink = new PassThrough();
  createLogger('info', sink).info(value, 'said');
  return String(sink.read());
}

test('hazard 21: secrets are redacted wherever they turn up in a log line', () => {
  const secret = 'dor_0123';
  for (const field of ['apiKey', 'key', 'token', 'password', 'authorization', 'databaseUrl', 'envs']) {
    expect(logLine({ [field]: secret })).not.toContain(secret);
    expect(logLine({ deeper: { [field]: secret } })).not.toContain(secret);
    expect(logLine({ request: { headers: { [field]: secret } } })).not.toContain(secret);
  }
});

test('hazard 21: an error is logged by what is known of errors, not by all that hangs on it', () => {
  const error = Object.assign(new Error('connection lost', { cause: new Error('reset') }), {
    code: '57P01',
    client: { connectionParameters: { password: 'hunter2' } },
  });
  const { err } = JSON.parse(logLine({ err: error }));
  expect(Object.keys(err)).toEqual(['name', 'message', 'code', 'stack', 'cause']);
  expect(err).toMatchObject({ message: 'connection lost', code: '57P01', cause: { message: 'reset' } });
});
