import { expect, test } from 'vitest';
import { buildProgram } from '../program.js';
import { separateCommand } from './separate-command.js';

const separate = (text: string): string => separateCommand(text.split(' '), buildProgram()).join(' ');

test("options before the command are ours, those after it are the command's", () => {
  expect(separate('sandbox exec sb1 ls -la --json')).toBe('sandbox exec sb1 -- ls -la --json');
  expect(separate('sandbox exec sb1 --user root -t ls -t')).toBe('sandbox exec sb1 --user root -t -- ls -t');
  expect(separate('sandbox exec --env=A=b sb1 env')).toBe('sandbox exec --env=A=b sb1 -- env');
  expect(separate('sandbox exec sb1 --cwd / -- ls --json')).toBe('sandbox exec sb1 --cwd / -- ls --json');
});

test('everything else stays as it is', () => {
  for (const text of ['sandbox exec sb1', 'sandbox exec --help', 'sandbox ls a b c', 'up']) {
    expect(separate(text)).toBe(text);
  }
});
