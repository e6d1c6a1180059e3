import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';

/**
 * Runs in the lab host: makes sure that KVM works there, then runs the tests of the plan and hands out the result.
 *
 * @typedef {object} Plan
 * @property {readonly string[]} patterns of test files
 * @property {number} testTimeoutMs
 * @property {Record<string, string>} env
 *
 * @typedef {object} LabResult
 * @property {{ usable: boolean, reason?: string } | undefined} before the verdict on KVM that the tests began with
 * @property {{ usable: boolean, reason?: string } | undefined} after and the one they ended with
 * @property {boolean} succeeded
 * @property {string} report of vitest
 */

const ASSETS = '/assets';
const VERDICT = `${ASSETS}/accelerator.json`;
const REPORT = '/tmp/report.json';
/** The probe of KVM has little patience, and an emulated host that gets no processor time may exceed it. */
const ATTEMPTS = 5;
/** A single test may take many minutes, and who waits wants to see that the lab host lives. */
const HEARTBEAT_MS = 60_000;

/** @type {Plan} */
const plan = JSON.parse(readFileSync('lab-plan.json', 'utf8'));
const env = { ...process.env, ...plan.env, DORMOUSE_ASSETS_DIR: ASSETS };
const resultPath = process.argv[2];
if (resultPath === undefined) throw new Error('usage: lab-inside.mjs RESULT-FILE');

const heartbeat = setInterval(() => say(`at work, ${virtualMachines()} VMs`), HEARTBEAT_MS);

/** @type {LabResult} */
const result = { before: undefined, after: undefined, succeeded: false, report: '' };
say('looking whether KVM works');
for (let attempt = 1; attempt <= ATTEMPTS && !result.before?.usable; attempt++) {
  rmSync(VERDICT, { force: true });
  await node(['apps/host-agent/dist/prepare.js', '--assets', ASSETS, '--template', 'base'], 'pipe');
  result.before = verdict();
}
say(result.before?.usable ? 'KVM works' : `KVM does not work: ${result.before?.reason ?? 'no verdict'}`);
if (result.before?.usable) {
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${REPORT}`];
  const limits = [`--testTimeout=${plan.testTimeoutMs}`];
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'vm', ...reporters, ...limits];
  result.succeeded = await node([...vitest, ...plan.patterns], 'inherit');
  result.after = verdict();
  result.report = read(REPORT) ?? '';
}
clearInterval(heartbeat);
writeFileSync(resultPath, `${JSON.stringify(result)}\n`);

/** @returns {LabResult['before']} what is recorded for this boot of the lab host */
function verdict() {
  const record = JSON.parse(read(VERDICT) ?? '{}');
  const boot = read('/proc/sys/kernel/random/boot_id')?.trim();
  return record.bootId === boot ? record.verdict : undefined;
}

/** @returns {number} processes of QEMU */
function virtualMachines() {
  const names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return names.filter((name) => read(`/proc/${name}/comm`)?.startsWith('qemu-system')).length;
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * @param {readonly string[]} args
 * @param {'inherit' | 'pipe'} output shown, or shown only when it fails
 * @returns {Promise<boolean>} whether it succeeded
 */
function node(args, output) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', output, 'inherit'] });
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    child.once('error', () => resolve(false));
    child.once('close', (code) => {
      if (code !== 0) process.stdout.write(text);
      resolve(code === 0);
    });
  });
}

/** @param {string} text */
function say(text) {
  process.stdout.write(`lab: ${text} (${uptime().toFixed(0)} s)\n`);
}
