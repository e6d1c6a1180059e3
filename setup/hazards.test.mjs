import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

test('HAZARDS.md names only tests that exist', () => {
  const rows = readFileSync(join(root, 'HAZARDS.md'), 'utf8')
    .split('\n')
    .filter((line) => /^\| \d+ \|/.test(line));
  assert.ok(rows.length >= 22, 'every hazard has its row');
  for (const row of rows) {
    for (const [, path, names] of row.matchAll(/`([^`]+\.test\.(?:ts|mjs))`((?: ?,? ?"[^"]+")+)/g)) {
      const source = readFileSync(join(root, path ?? ''), 'utf8');
      for (const [, name] of (names ?? '').matchAll(/"([^"]+)"/g)) {
        assert.ok(source.includes(name ?? ''), `${path} has no test named "${name}"`);
      }
    }
  }
});
