import { afterAll, beforeAll, expect, test } from 'vitest';
import { runInGuest } from '../testing/run-in-guest.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';

/** How many boots in a row; a handful by default, any number by the environment variable BOOTS. */
const BOOTS = Number(process.env.BOOTS ?? 5);
/** Ten times what a boot takes under emulation on a busy machine. */
const PATIENCE_MS = 60_000;

let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost();
});

afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

test(`${BOOTS} boots in a row come up, each at the first attempt, and leave nothing`, {
  timeout: BOOTS * PATIENCE_MS,
}, async () => {
  const bootMs: number[] = [];
  for (let n = 0; n < BOOTS; n++) {
    const id = `sb${String(n).padStart(20, '0')}`;
    const began = performance.now();
    const sandbox = await vm.host.create(id, 1, { template: 'base', envs: {}, internet: true });
    expect(await runInGuest(await sandbox.guest(), 'echo up')).toMatchObject({ exitCode: 0, stdout: 'up\n' });
    bootMs.push(performance.now() - began);
    await vm.host.destroy(id);
    expect(vm.warnings).toEqual([]);
  }
  expect(await vm.presence()).toEqual(NOTHING);
  const sorted = bootMs.toSorted((a, b) => a - b);
  const quantile = (q: number): string => `${Math.round(sorted[Math.ceil(q * sorted.length) - 1]!)} ms`;
  process.stdout.write(
    `${BOOTS} boots (${vm.config.accelerator}) to a command's output: median ${quantile(0.5)}, p95 ${quantile(0.95)}, longest ${quantile(1)}\n`,
  );
});
