import { deepStrictEqual, strictEqual } from 'node:assert';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { areModulesCurrent, firstErrors, isSameInstallation } from './node-modules.mjs';

const wanted = {
  packages: {
    '': { version: '1.0.0' },
    'packages/errors': { version: '0.1.0' },
    'node_modules/@dormouse/errors': { link: true },
    'node_modules/zod': { version: '4.0.0' },
    'node_modules/fsevents': { version: '2.0.0', optional: true },
  },
};

test('the same packages count as installed, one for another platform may be missing', () => {
  const { '': _root, 'node_modules/fsevents': _other, ...packages } = wanted.packages;
  strictEqual(isSameInstallation(wanted, { packages }), true);
});

test('another version, a missing package, a surplus one or nothing at all do not count', () => {
  const { '': _root, ...packages } = wanted.packages;
  strictEqual(
    isSameInstallation(wanted, { packages: { ...packages, 'node_modules/zod': { version: '4.0.1' } } }),
    false,
  );
  const { 'node_modules/zod': _zod, ...without } = packages;
  strictEqual(isSameInstallation(wanted, { packages: without }), false);
  strictEqual(isSameInstallation(wanted, { packages: { ...packages, 'node_modules/old': {} } }), false);
  strictEqual(isSameInstallation(wanted, {}), false);
});

test('a half-finished installation is not current, a finished one is until the lock file changes', () => {
  const root = mkdtempSync(join(tmpdir(), 'dormouse-setup-'));
  try {
    writeFileSync(join(root, 'package-lock.json'), JSON.stringify(wanted));
    strictEqual(areModulesCurrent(root), false);
    // npm writes its own lock file last: without it the installation was cut short.
    mkdirSync(join(root, 'node_modules/zod'), { recursive: true });
    strictEqual(areModulesCurrent(root), false);
    const { '': _root, ...packages } = wanted.packages;
    writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));
    strictEqual(areModulesCurrent(root), true);
    strictEqual(readFileSync(join(root, 'node_modules/.dormouse-install'), 'utf8').length, 65);
    writeFileSync(
      join(root, 'package-lock.json'),
      JSON.stringify({ packages: { ...wanted.packages, 'node_modules/ws': {} } }),
    );
    strictEqual(areModulesCurrent(root), false);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('of what npm says the beginning is shown, which names the reason', () => {
  const lines = ['npm http fetch', 'npm error code EUSAGE', 'npm error', 'npm error out of sync'];
  deepStrictEqual(firstErrors(lines), ['npm error code EUSAGE', 'npm error out of sync']);
  deepStrictEqual(firstErrors(['killed']), ['killed']);
});
