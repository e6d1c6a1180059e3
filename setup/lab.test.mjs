import { deepStrictEqual, match, rejects, strictEqual } from 'node:assert';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TESTS } from './lab.mjs';
import { checkoutTar } from './lab-disks.mjs';
import { labArguments } from './lab-machine.mjs';
import { owned, runOwned } from './lab-process.mjs';

/** @param {(dir: string) => Promise<void>} check */
async function withDirectory(check) {
  const dir = mkdtempSync(join(tmpdir(), 'dormouse-lab-'));
  try {
    await check(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('the lab host is a processor that virtualises, and nothing is written to its disks', () => {
  const root = { kernel: '/lab/k', initrd: '/lab/i', disk: '/lab/a,b' };
  const args = labArguments(root, ['/lab/tar'], { console: '/lab/c', result: '/lab/r' });
  strictEqual(args[args.indexOf('-cpu') + 1], 'EPYC,+svm,+npt,+nrip-save');
  deepStrictEqual(
    args.filter((arg) => arg.startsWith('if=none')),
    [
      'if=none,id=disk0,format=raw,snapshot=on,cache=unsafe,file=/lab/a,,b',
      'if=none,id=disk1,format=raw,snapshot=on,cache=unsafe,file=/lab/tar',
    ],
  );
});

test('hazard 16: a tool of the lab ends with whoever started it, even when that is killed', async () => {
  const [program, ...args] = owned(['sh', '-c', 'echo $$; exec sleep 600'], 60);
  const script = `require('node:child_process').spawn(${JSON.stringify(program)}, ${JSON.stringify(args)}, { stdio: 'inherit' })`;
  // The tool inherits this pipe, which is at its end when nobody is left.
  const starter = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = await once(starter.stdout.setEncoding('utf8'), 'data');
  match(line, /^\d+\n$/);
  starter.kill('SIGKILL');
  await once(starter.stdout, 'end');
  strictEqual(spawnSync('kill', ['-0', line.trim()]).status, 1);
});

test('a tool of the lab that does not end is ended at its limit', async () => {
  const options = { cwd: '/', what: 'sleeping', suggestion: 'Wake up.', limitSeconds: 1 };
  await rejects(runOwned('sleep', ['600'], options), { message: 'sleeping failed (exit 124)' });
});

test('the tests of the lab’s own selection are there', () => {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  deepStrictEqual(
    TESTS.filter((path) => !existsSync(join(root, path))),
    [],
  );
});

test('the checkout goes along with what is built from it and with the plan, without what is kept elsewhere', async () => {
  await withDirectory(async (dir) => {
    const root = join(dir, 'checkout');
    const lab = join(root, '.dormouse', 'lab');
    for (const name of ['packages/x/dist', 'node_modules/y', '.git', '.dormouse/lab']) {
      mkdirSync(join(root, name), { recursive: true });
    }
    for (const name of ['package.json', 'packages/x/dist/index.js', 'node_modules/y/index.js']) {
      writeFileSync(join(root, name), name);
    }
    const tar = await checkoutTar(lab, root, { patterns: ['some.test.ts'] });
    const { stdout } = spawnSync('tar', ['-tf', tar], { encoding: 'utf8' });
    deepStrictEqual(
      stdout
        .split('\n')
        .filter((name) => name !== '' && !name.endsWith('/'))
        .sort(),
      ['lab-plan.json', 'package.json', 'packages/x/dist/index.js'],
    );
    match(spawnSync('tar', ['-xOf', tar, 'lab-plan.json'], { encoding: 'utf8' }).stdout, /"some\.test\.ts"/);
  });
});
