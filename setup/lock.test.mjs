import { strictEqual } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { takeLock } from './lock.mjs';

test('two at once: the second waits until the first gives the lock back', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'dormouse-setup-'));
  const path = join(directory, 'lock');
  try {
    const unlock = await takeLock(path, () => {});
    /** @type {string[]} */
    const order = [];
    /** @type {() => void} */
    let waits = () => {};
    const waiting = new Promise((resolve) => {
      waits = () => resolve(undefined);
    });
    const second = takeLock(path, waits).then((unlockSecond) => {
      order.push('second holds it');
      return unlockSecond();
    });
    await waiting;
    order.push('first gives it back');
    await unlock();
    await second;
    strictEqual(order.join(', '), 'first gives it back, second holds it');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a holder that was killed leaves no lock behind', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'dormouse-setup-'));
  const path = join(directory, 'lock');
  try {
    const module = new URL('./lock.mjs', import.meta.url).href;
    const script = `const { takeLock } = await import('${module}');
      await takeLock('${path}', () => {}); console.log('held'); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    holder.kill('SIGKILL');
    const unlock = await takeLock(path, () => {});
    await unlock();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
