import { deepStrictEqual } from 'node:assert';
import { test } from 'node:test';
import { readInvocation } from './arguments.mjs';
import { needsOf } from './needs.mjs';

test('the command is the first word, and options after -- belong to somebody else', () => {
  deepStrictEqual(readInvocation(['up', '--yes', '--data', '/d']), {
    command: 'up',
    subcommand: '/d',
    yes: true,
    help: false,
    rest: ['--yes', '--data', '/d'],
  });
  const exec = readInvocation(['sandbox', 'exec', 'sb1', '--', 'rm', '--yes', '--help']);
  deepStrictEqual([exec.command, exec.subcommand, exec.yes, exec.help], ['sandbox', 'exec', false, false]);
  deepStrictEqual(readInvocation([]), {
    command: undefined,
    subcommand: undefined,
    yes: false,
    help: false,
    rest: [],
  });
});

test('a command gets what it needs and nothing more', () => {
  const needs = (/** @type {string[]} */ ...argv) => needsOf(readInvocation(argv));
  const client = { packages: 'none', build: 'cli', guest: false };
  const host = { packages: 'runtime', build: 'all', guest: true };
  for (const argv of [
    [],
    ['--help'],
    ['sandbox', 'ls'],
    ['template', 'ls'],
    ['up', '--help'],
    ['help', 'up'],
  ]) {
    deepStrictEqual(needs(...argv), client);
  }
  for (const argv of [['up'], ['demo'], ['template', 'build', 'python']])
    deepStrictEqual(needs(...argv), host);
  deepStrictEqual(needs('doctor'), { packages: 'none', build: 'all', guest: false });
  deepStrictEqual(needs('test'), { packages: 'test', build: 'all', guest: true });
});
