import { expect, test } from 'vitest';
import { processEnd, signalNumber } from './signals.js';

test('signals have the names and numbers of Linux', () => {
  expect([signalNumber('SIGKILL'), signalNumber('term'), signalNumber('sigint')]).toEqual([9, 15, 2]);
  expect(() => signalNumber('SIGNOPE')).toThrow('signal: there is no signal "SIGNOPE"');
  expect(() => signalNumber('')).toThrow('signal: there is no signal ""');
});

test('an end by signal looks as in a shell', () => {
  expect(processEnd(3, 0)).toEqual({ exit_code: 3, signal: null });
  expect(processEnd(-1, 9)).toEqual({ exit_code: 137, signal: 'SIGKILL' });
  expect(processEnd(-1, 6)).toEqual({ exit_code: 134, signal: 'SIGABRT' });
  expect(processEnd(-1, 64)).toEqual({ exit_code: 192, signal: 'SIG64' });
});
