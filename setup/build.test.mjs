import { notStrictEqual, strictEqual } from 'node:assert';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isBuildCurrent, readSources } from './build.mjs';
import { writeStamp } from './stamp.mjs';

/** @param {(root: string) => void} check */
function withTree(check) {
  const root = mkdtempSync(join(tmpdir(), 'dormouse-setup-'));
  try {
    for (const project of ['packages/errors', 'apps/cli']) {
      mkdirSync(join(root, project, 'src'), { recursive: true });
      mkdirSync(join(root, project, 'dist'), { recursive: true });
      writeFileSync(join(root, project, 'tsconfig.json'), '{}');
      writeFileSync(join(root, project, 'src/index.ts'), 'export {};');
      writeFileSync(join(root, project, 'dist/.tsbuildinfo'), '{}');
    }
    writeFileSync(join(root, 'apps/cli/dist/main.js'), '');
    check(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('the fingerprint follows the sources and ignores what is built from them', () => {
  withTree((root) => {
    const before = readSources(root).fingerprint;
    writeFileSync(join(root, 'packages/errors/dist/index.js'), '1');
    strictEqual(readSources(root).fingerprint, before);
    utimesSync(join(root, 'packages/errors/src/index.ts'), 1, 1);
    const touched = readSources(root).fingerprint;
    notStrictEqual(touched, before);
    rmSync(join(root, 'apps/cli/src/index.ts'));
    notStrictEqual(readSources(root).fingerprint, touched);
  });
});

test('a build of everything serves the command line too, not the other way round', () => {
  withTree((root) => {
    const { fingerprint } = readSources(root);
    strictEqual(isBuildCurrent(root, 'cli'), false);
    writeStamp(join(root, '.dormouse/setup/build-cli'), fingerprint);
    strictEqual(isBuildCurrent(root, 'cli'), true);
    strictEqual(isBuildCurrent(root, 'all'), false);
    writeStamp(join(root, '.dormouse/setup/build-all'), fingerprint);
    strictEqual(isBuildCurrent(root, 'all'), true);
  });
});

test('a build whose output was removed is not current', () => {
  withTree((root) => {
    writeStamp(join(root, '.dormouse/setup/build-all'), readSources(root).fingerprint);
    rmSync(join(root, 'packages/errors/dist'), { recursive: true });
    strictEqual(isBuildCurrent(root, 'all'), false);
  });
});
