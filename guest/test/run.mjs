// Runs every test of the agent and ends with "N passed, N failed".
import { spawn } from 'node:child_process';
import readline from 'node:readline';

const here = (name) => new URL(name, import.meta.url).pathname;
const suites = [
  ['unit', here('../build/test/unit'), [], {}],
  ['identity', here('../build/test/identity'), [], {}],
  ['jobs', here('../build/test/jobs'), [], {}],
  ['input', here('../build/test/input'), [], {}],
  ['vectors', process.execPath, ['--test-reporter=tap', here('vectors.test.mjs')], {}],
  ['operations', process.execPath, ['--test-reporter=tap', here('operations.test.mjs')], {}],
  [
    'operations, sanitized',
    process.execPath,
    ['--test-reporter=tap', here('operations.test.mjs')],
    { AGENT: here('../build/dormouse-guest-asan') },
  ],
  ['retention', process.execPath, ['--test-reporter=tap', here('retention.test.mjs')], {}],
  ['machine', process.execPath, ['--test-reporter=tap', here('machine.test.mjs')], {}],
  ['fuzz', process.execPath, ['--test-reporter=tap', here('fuzz.test.mjs')], {}],
];
let passed = 0;
let failed = 0;
for (const [name, command, args, env] of suites) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const done = new Promise((resolve) => child.once('close', (code) => resolve(code)));
  let bad = 0;
  let inFailure = false;
  for await (const line of readline.createInterface({ input: child.stdout })) {
    if (/^ok \d/.test(line)) {
      passed++;
      inFailure = false;
    } else if (/^not ok \d/.test(line)) {
      bad++;
      inFailure = true;
    }
    if (inFailure || line.includes('resident')) console.log(`${name}: ${line}`);
    if (/^ {2}\.\.\.$/.test(line)) inFailure = false;
  }
  const code = await done;
  if (code !== 0 && bad === 0) {
    bad++;
    console.log(`${name}: ended with ${code}`);
  }
  failed += bad;
  console.log(`${bad ? 'FAIL' : 'ok  '}  ${name}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
