import { match, strictEqual } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ENTRY = fileURLToPath(new URL('../dormouse', import.meta.url));

/**
 * A checkout of nothing but the entry point and a setup that tells what reached it.
 *
 * @param {(root: string) => void} check
 */
function withEntry(check) {
  const root = mkdtempSync(join(tmpdir(), 'dormouse entry '));
  try {
    mkdirSync(join(root, 'setup'));
    mkdirSync(join(root, 'bin'));
    copyFileSync(ENTRY, join(root, 'dormouse'));
    writeFileSync(
      join(root, 'setup/main.mjs'),
      'console.log(JSON.stringify([import.meta.filename, process.argv.slice(2)]));',
    );
    check(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

/**
 * @param {string} file
 * @param {string[]} args
 * @param {{ cwd?: string, path?: string }} [options]
 */
function start(file, args, { cwd = '/', path = process.env.PATH } = {}) {
  return spawnSync(file, args, { cwd, env: { PATH: path }, encoding: 'utf8' });
}

test('it works from any directory, through symlinks, and passes arguments on as they are', () => {
  withEntry((root) => {
    const expected = `${JSON.stringify([join(root, 'setup/main.mjs'), ['sandbox', 'a b', '']])}\n`;
    strictEqual(start(join(root, 'dormouse'), ['sandbox', 'a b', '']).stdout, expected);
    strictEqual(start('./dormouse', ['sandbox', 'a b', ''], { cwd: root }).stdout, expected);
    symlinkSync('../dormouse', join(root, 'bin/relative'));
    symlinkSync(join(root, 'bin/relative'), join(root, 'bin/absolute'));
    strictEqual(start(join(root, 'bin/absolute'), ['sandbox', 'a b', '']).stdout, expected);
    const path = `${join(root, 'bin')}:${process.env.PATH}`;
    strictEqual(start('relative', ['sandbox', 'a b', ''], { path }).stdout, expected);
  });
});

test('without Node.js, or with an old one, it says so in one line', () => {
  withEntry((root) => {
    const bin = join(root, 'bin');
    for (const tool of ['sh', 'dirname', 'readlink']) symlinkSync(`/bin/${tool}`, join(bin, tool));
    const none = start(join(root, 'dormouse'), [], { path: bin });
    strictEqual(none.status, 4);
    match(none.stderr, /^error: Dormouse needs Node\.js 20\.11 or newer and found none on PATH: .*\n$/);
    for (const version of ['v18.20.4', 'v20.10.0']) {
      writeFileSync(join(bin, 'node'), `#!/bin/sh\necho ${version}\n`);
      chmodSync(join(bin, 'node'), 0o755);
      const old = start(join(root, 'dormouse'), [], { path: bin });
      strictEqual(old.status, 4);
      match(
        old.stderr,
        new RegExp(`^error: Dormouse needs Node\\.js 20\\.11 or newer and found ${version}: .*\\n$`),
      );
    }
  });
});
