import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DEAD_VM, journalOf, sandboxId } from '../testing/journals.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { type Journal, readJournal, writeJournal } from './journal.js';

const ID = sandboxId('a');

describe('a journal', () => {
  test.each<[string, Journal]>([
    ['that has just begun', journalOf(ID, { state: 'pending' })],
    [
      'with everything',
      journalOf(ID, {
        state: 'paused',
        vm: { ...DEAD_VM, uid: 1_907_000_000 },
        disk: { layers: ['ly1', 'ly0'], base: { kind: 'generation', id: 'gn1' } },
        memoryBase: 'gn1',
        paused: { generationId: 'gn2', kind: 'full', atMs: 1_767_323_060_000, cause: 'shutdown' },
        intent: 'gn3',
        intentCause: 'timeout',
        stopCause: 'timeout',
        policy: { timeoutSec: 600, onTimeout: 'kill', onMemoryLoss: 'fail' },
        resumeAtStart: true,
        resumedBy: 'reboot',
        snapshotId: 'sn1',
        reason: 'why',
        startedAtMs: 1_767_323_050_000,
      }),
    ],
    [
      'of a VM that has ended',
      journalOf(ID, { state: 'stopped', reason: 'the guest powered off or restarted' }),
    ],
  ])('%s comes back as it was written', async (_name, journal) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await writeJournal(path, journal);
    expect(await readJournal(path)).toEqual(journal);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory.path)).toEqual(['journal.json']);
  });

  test('forgets what a later one leaves undefined', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await writeJournal(path, journalOf(ID, { vm: DEAD_VM }));
    await writeJournal(path, journalOf(ID, { state: 'stopped', vm: undefined }));
    expect(await readJournal(path)).toStrictEqual(journalOf(ID, { state: 'stopped' }));
  });

  test('of the version before never times out', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    const { policy: _none, ...journal } = journalOf(ID);
    await writeFile(path, JSON.stringify({ ...journal, version: 2 }));
    expect(await readJournal(path)).toEqual(journalOf(ID));
    expect(journalOf(ID).policy).toEqual({ timeoutSec: 0, onTimeout: 'pause', onMemoryLoss: 'reboot' });
  });

  test('that is not there is none', async () => {
    await using directory = await temporaryDirectory();
    expect(await readJournal(join(directory.path, 'journal.json'))).toBeUndefined();
  });

  const whole = JSON.stringify(journalOf(ID));
  test.each([
    ['empty', ''],
    ['torn', whole.slice(0, -10)],
    ['all zeros', '\0'.repeat(whole.length)],
    ['of another version', JSON.stringify({ ...journalOf(ID), version: 4 })],
    ['in a state that is none', JSON.stringify({ ...journalOf(ID), state: 'happy' })],
    ['without a spec', JSON.stringify({ ...journalOf(ID), spec: undefined })],
    ['of an id that is a path', JSON.stringify(journalOf('../../../etc/passwd/xxx'))],
    ['with a pid that is text', JSON.stringify({ ...journalOf(ID), vm: { pid: '1', startTicks: 2 } })],
  ])('hazard 6: that is %s is an error, not a guess', async (_name, text) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await writeFile(path, text);
    await expect(readJournal(path)).rejects.toMatchObject({
      code: 'internal',
      message: `the journal ${path} cannot be understood`,
    });
  });

  test('that cannot be read is an error, not absent', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await mkdir(path);
    await expect(readJournal(path)).rejects.toMatchObject({ code: 'EISDIR' });
  });
});
