import { DormouseError } from '@dormouse/errors';
import { ApiError } from '@dormouse/sdk';
import { CommanderError } from 'commander';
import { expect, test } from 'vitest';
import { reportError } from './report-error.js';

const plain = { json: false, debug: false };

test('an error is one line, its suggestion another, and the exit code comes from the table', () => {
  const error = new DormouseError('not_found', 'there is no sandbox\n  of that id', { suggestion: 'Look.' });
  expect(reportError(error, plain)).toEqual({
    text: 'error: there is no sandbox of that id\n  Look.\n',
    exitCode: 3,
  });
});

test('what nobody expected is told without a stack trace, unless asked for', () => {
  const bug = new TypeError('x is not a function');
  expect(reportError(bug, plain)).toEqual({ text: 'error: x is not a function\n', exitCode: 5 });
  expect(reportError(bug, { json: false, debug: true }).text).toContain(
    'TypeError: x is not a function\n    at ',
  );
});

test('an internal error of the server carries the id to find it by', () => {
  const error = new ApiError('internal', 'it broke', 500, 'req_1');
  expect(reportError(error, plain).text).toBe('error: it broke\n  request id: req_1\n');
});

test('in JSON the same is one line', () => {
  const error = new ApiError('not_found', 'no such sandbox', 404, 'req_1');
  expect(reportError(error, { json: true, debug: false })).toEqual({
    text: '{"error":{"code":"not_found","message":"no such sandbox","requestId":"req_1"}}\n',
    exitCode: 3,
  });
});

test('a command line that is not understood ends with 2, help with 0', () => {
  const usage = new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'");
  expect(reportError(usage, plain)).toEqual({ text: '', exitCode: 2 });
  expect(reportError(usage, { json: true, debug: false }).text).toBe(
    '{"error":{"code":"invalid_request","message":"unknown option \'--x\'"}}\n',
  );
  expect(reportError(new CommanderError(0, 'commander.help', '(outputHelp)'), plain).exitCode).toBe(0);
});
