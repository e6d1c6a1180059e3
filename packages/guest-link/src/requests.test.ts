import { expect, test } from 'vitest';
import { Guest } from './guest.js';
import { ScriptedGuest } from './testing/scripted-guest.js';

/** Configures a guest that answers ok with this message, and returns the warnings. */
async function warningsOf(message: string): Promise<string[]> {
  const { link, guest } = await ScriptedGuest.pair();
  const warnings: string[] = [];
  const configured = new Guest(link).configure({}, { onWarning: (warning) => warnings.push(warning) });
  const { stream } = await guest.opened();
  guest.close(stream, 0, 0, message);
  await configured;
  return warnings;
}

test('an ok with a message is a success with warnings, one a line', async () => {
  expect(await warningsOf('')).toEqual([]);
  expect(await warningsOf('/etc/hosts: Is a directory\n/etc/ssh: Read-only file system')).toEqual([
    '/etc/hosts: Is a directory',
    '/etc/ssh: Read-only file system',
  ]);
});

test('hazard 15: warnings of a guest are bounded', async () => {
  const warnings = await warningsOf(`${'x'.repeat(1_000)}\n`.repeat(200));
  expect(warnings).toEqual(Array(16).fill('x'.repeat(400)));
});

test('warnings that nothing listens for are no failure', async () => {
  const { link, guest } = await ScriptedGuest.pair();
  const configured = new Guest(link).configure({});
  const { stream } = await guest.opened();
  guest.close(stream, 0, 0, '/etc/hosts: Is a directory');
  expect(await configured).toBeUndefined();
});
