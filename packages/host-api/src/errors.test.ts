import { Code, ConnectError } from '@connectrpc/connect';
import { DormouseError, errorRow, isErrorCode } from '@dormouse/errors';
import { describe, expect, test } from 'vitest';
import { fromConnectError, toConnectError } from './errors.js';

const CODES = [
  'invalid_request',
  'not_found',
  'timeout',
  'already_exists',
  'invalid_state',
  'cancelled',
  'internal',
  'no_capacity',
  'unavailable',
  'no_space',
  'guest_unreachable',
  'guest_protocol',
  'boot_failed',
  'missing_tool',
] as const;

describe('an error between host agent and control plane', () => {
  test.each(CODES)('with code %s arrives with code, message and suggestion', (code) => {
    const sent = toConnectError(new DormouseError(code, 'what happened', { suggestion: 'what to do' }));
    expect(sent.code).toBe(errorRow(code).connect);
    expect(sent.rawMessage).toBe('what happened');
    const received = fromConnectError(sent);
    expect(received).toMatchObject({ code, message: 'what happened', suggestion: 'what to do' });
    expect(isErrorCode(received.code)).toBe(true);
  });

  test('says that nothing was begun only where that is certain', () => {
    const told = (code: 'no_capacity' | 'boot_failed') =>
      fromConnectError(toConnectError(new DormouseError(code, 'no'))).notBegun;
    expect(told('no_capacity')).toBe(true);
    expect(told('boot_failed')).toBe(false);
    const lost = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
    const refused = Object.assign(new Error('connect ENOENT'), { code: 'ENOENT', syscall: 'connect' });
    const transport = (cause: Error) =>
      fromConnectError(new ConnectError(cause.message, Code.Unavailable, undefined, undefined, cause));
    expect(transport(lost)).toMatchObject({ code: 'unavailable', notBegun: false });
    expect(transport(refused)).toMatchObject({ code: 'unavailable', notBegun: true });
    expect(transport(new Error('ended', { cause: refused })).notBegun).toBe(true);
  });

  test('without a suggestion arrives without one', () => {
    const received = fromConnectError(toConnectError(new DormouseError('not_found', 'gone')));
    expect(received.suggestion).toBeUndefined();
  });

  test('that is none of ours arrives as internal', () => {
    expect(fromConnectError(toConnectError(new TypeError('x is not a function')))).toMatchObject({
      code: 'internal',
      message: 'x is not a function',
    });
    expect(fromConnectError(toConnectError('just words'))).toMatchObject({
      code: 'internal',
      message: 'just words',
    });
  });

  test.each([
    [Code.Canceled, 'cancelled', 'the call was cancelled'],
    [Code.DeadlineExceeded, 'timeout', 'the host agent did not answer in time'],
    [Code.Unavailable, 'unavailable', 'the host agent cannot be reached: socket hang up'],
    [Code.Internal, 'unavailable', 'the host agent cannot be reached: socket hang up'],
  ] as const)('of the transport (Connect code %i) becomes %s', (connectCode, code, message) => {
    expect(fromConnectError(new ConnectError('socket hang up', connectCode))).toMatchObject({
      code,
      message,
    });
  });

  test('of a call that was cut off, though nobody has cancelled it, says that the host is away', () => {
    expect(fromConnectError(new ConnectError('stream closed', Code.Canceled), false)).toMatchObject({
      code: 'unavailable',
      message: 'the host agent cannot be reached: stream closed',
    });
    const told = toConnectError(new DormouseError('cancelled', 'the boot was cancelled'));
    expect(fromConnectError(told, false)).toMatchObject({ code: 'cancelled' });
  });

  test('that has been translated already is left alone', () => {
    const ours = new DormouseError('no_space', 'full');
    expect(fromConnectError(ours)).toBe(ours);
    const theirs = new ConnectError('x', Code.Aborted);
    expect(toConnectError(theirs)).toBe(theirs);
  });
});
