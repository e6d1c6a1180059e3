import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildProgram } from '../program.js';
import { bashCompletion } from './bash.js';
import { commandTree } from './command-tree.js';
import { fishCompletion } from './fish.js';
import { zshCompletion } from './zsh.js';

const tree = commandTree(buildProgram());

/** What bash offers after these words, the last of which is being typed. */
function offered(words: readonly string[], command = 'dormouse'): string[] {
  const quoted = [command, ...words].map((word) => `'${word}'`).join(' ');
  const script = `${bashCompletion(tree)}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _dormouse; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', script]).toString().trim().split('\n');
}

test('bash offers commands, subcommands and options where they belong', () => {
  expect(offered(['sand'])).toEqual(['sandbox']);
  expect(offered(['sandbox', 'c'])).toEqual(['create', 'cp', 'checkpoint']);
  expect(offered(['snapshot', ''])).toEqual(['ls', 'create', 'rm', 'tree', '--help']);
  expect(offered(['project', 's'])).toEqual(['save', 'snapshots']);
  expect(offered(['up', '--e'])).toEqual(['--edge-port']);
  expect(offered(['key', ''])).toEqual(['ls', 'create', 'rm', '--help']);
  expect(offered(['sandbox', 'ls', '--st'])).toEqual(['--state']);
});

test('bash offers the ids of sandboxes by asking the very command that is completed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dormouse-completion-'));
  try {
    const fake = join(directory, 'dormouse');
    writeFileSync(
      fake,
      '#!/bin/sh\n[ "$*" = "sandbox ls --quiet" ] && printf "sb1\\nsb2\\n"\n[ "$*" = "snapshot ls --type snapshot --quiet" ] && echo kept\n[ "$*" = "project ls --quiet" ] && echo thesis\n',
    );
    chmodSync(fake, 0o755);
    expect(offered(['sandbox', 'exec', 's'], fake)).toEqual(['sb1', 'sb2']);
    expect(offered(['sandbox', 'rm', 'sb1', 'sb2'], fake)).toEqual(['sb2']);
    expect(offered(['sandbox', 'resume', 'sb1', ''], fake)).toEqual(expect.arrayContaining(['sb1', 'sb2']));
    expect(offered(['snapshot', 'create', 's'], fake)).toEqual(['sb1', 'sb2']);
    expect(offered(['snapshot', 'rm', 'k'], fake)).toEqual(['kept']);
    expect(offered(['project', 'open', 't'], fake)).toEqual(['thesis']);
    expect(offered(['sandbox', 'exec', '--t'], fake)).toEqual(['--timeout', '--tty']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('zsh and fish scripts name every command and option', () => {
  const zsh = zshCompletion(tree);
  const fish = fishCompletion(tree);
  for (const { path, options } of tree) {
    if (path.length > 0) expect(zsh).toContain(`'${path.join(' ')}'`);
    for (const { long } of options) {
      expect(zsh).toContain(`'${long}:`);
      expect(fish).toContain(` -l ${long.slice(2)}`);
    }
  }
});

/** These shells are not everywhere; where they are, they have the last word on their syntax. */
test.each([
  ['zsh', zshCompletion(tree)],
  ['fish', fishCompletion(tree)],
])('%s accepts its script', (shell, script) => {
  const { error, status, stderr } = spawnSync(shell, ['-n'], { input: script, encoding: 'utf8' });
  if (error) return;
  expect([status, stderr]).toEqual([0, '']);
});
