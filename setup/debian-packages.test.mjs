import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { completePath, missingPackages, notRootError, packagesOf } from './debian-packages.mjs';

test('a package is missing when its tool is nowhere on PATH', () => {
  const there = new Set(['/opt/bin/qemu-img', '/usr/sbin/mkfs.ext4']);
  const packages = [
    { name: 'qemu-utils', tool: 'qemu-img' },
    { name: 'e2fsprogs', tool: 'mkfs.ext4' },
    { name: 'cpio', tool: 'cpio' },
  ];
  const missing = (/** @type {string} */ path) =>
    missingPackages(packages, path, (file) => there.has(file)).map(({ name }) => name);
  deepStrictEqual(missing('/opt/bin:/usr/sbin'), ['cpio']);
  deepStrictEqual(missing('/opt/bin'), ['e2fsprogs', 'cpio']);
});

test('a package that is known by a file is missing without it', () => {
  const packages = [{ name: 'libc6-dev', file: '/usr/include/stdio.h' }];
  deepStrictEqual(
    missingPackages(packages, '/bin', () => true),
    [],
  );
  deepStrictEqual(
    missingPackages(packages, '/bin', () => false),
    packages,
  );
});

test('after `su` without a dash the sbin directories are found all the same', () => {
  const path = completePath('/home/me/bin:/usr/bin').split(':');
  deepStrictEqual(path.slice(0, 2), ['/home/me/bin', '/usr/bin']);
  ok(path.includes('/usr/sbin'));
  strictEqual(path.filter((dir) => dir === '/usr/bin').length, 1);
});

test('the tests need everything that running needs', () => {
  const names = packagesOf('test').map(({ name }) => name);
  for (const { name } of packagesOf('runtime')) ok(names.includes(name));
  deepStrictEqual(packagesOf('none'), []);
});

test('who may not install is told the one command to run', () => {
  const error = notRootError([{ name: 'cpio', tool: 'cpio' }]);
  strictEqual(error.message, 'Debian packages are missing and only root can install them: cpio');
  strictEqual(error.suggestion, 'Run as root: apt-get install cpio');
  strictEqual(error.exitCode, 4);
});
