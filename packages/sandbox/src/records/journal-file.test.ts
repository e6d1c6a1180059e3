import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  DEAD_VM,
  DISK,
  pendingOf,
  runningOf,
  STARTED_AT_MS,
  sandboxId,
  storedOf,
} from '../testing/journals.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import {
  freezing,
  goingBack,
  type Journal,
  keepingDisk,
  paused,
  resuming,
  snapshotting,
  stopped,
  stopping,
} from './journal.js';
import { decodeJournal, readJournal, writeJournal } from './journal-file.js';

const ID = sandboxId('a');
const MOMENT = { generationId: 'gn2', kind: 'full', atMs: 1_767_323_060_000, cause: 'shutdown' } as const;
const RUNNING = runningOf(ID, {
  vm: { ...DEAD_VM, uid: 1_907_000_000 },
  disk: { layers: ['ly1', 'ly0'], base: { kind: 'generation', id: 'gn1' } },
  memoryBase: 'gn1',
  loading: true,
  policy: { timeoutSec: 600, onTimeout: 'kill', onMemoryLoss: 'fail' },
  resumedBy: 'reboot',
  snapshotId: 'sn1',
  reason: 'why',
});

describe('a journal', () => {
  test.each<[string, Journal]>([
    ['of a sandbox that is being made', pendingOf(ID)],
    ['of one that runs', RUNNING],
    ['of one that is kept', snapshotting(RUNNING)],
    ['of one that is frozen', freezing(RUNNING, 'gn3', 'timeout')],
    [
      'of one whose disk is kept',
      keepingDisk(RUNNING, DISK, { reason: 'why', cause: 'vm_ended', intent: 'gn4' }),
    ],
    ['of one that goes back', goingBack(RUNNING, { generationId: 'gn1', reason: 'why' })],
    ['of one that is paused', paused(RUNNING, MOMENT)],
    ['of one that is resumed', resuming(paused(RUNNING, MOMENT), 7)],
    ['of one that is removed', stopping(RUNNING, 'timeout')],
    ['of one whose VM has ended', stopped(RUNNING, 'the guest powered off or restarted')],
  ])('%s comes back as it was written', async (_name, journal) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await writeJournal(path, journal);
    expect(await readJournal(path)).toEqual(journal);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory.path)).toEqual(['journal.json']);
  });

  test('has nothing of the state before', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await writeJournal(path, RUNNING);
    await writeJournal(path, stopped({ ...RUNNING, snapshotId: undefined }, 'why'));
    expect(await readJournal(path)).toStrictEqual({
      ...storedOf(ID, { policy: RUNNING.policy, state: 'stopped', reason: 'why', disk: RUNNING.disk }),
      startedAtMs: STARTED_AT_MS,
      resumedBy: 'reboot',
    });
  });

  test('of the version before never times out', () => {
    const { policy: _none, ...stored } = storedOf(ID, { version: 2, state: 'pending' });
    const journal = decodeJournal(JSON.stringify(stored), 'journal.json');
    expect(journal).toEqual(pendingOf(ID));
    expect(journal.policy).toEqual({ timeoutSec: 0, onTimeout: 'pause', onMemoryLoss: 'reboot' });
  });

  const LIVE = { vm: DEAD_VM, disk: DISK, startedAtMs: STARTED_AT_MS };
  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['running', { state: 'running', ...LIVE }, { state: 'running', ...LIVE }],
    [
      'without its VM',
      { state: 'running', disk: DISK },
      { state: 'pausing', purpose: 'keep-disk', disk: DISK },
    ],
    ['without its disk', { state: 'running', vm: DEAD_VM }, { state: 'stopped', reason: 'it had no VM' }],
    [
      'freezing',
      { state: 'pausing', ...LIVE, memoryBase: 'gn1', intent: 'gn2', intentCause: 'timeout', paused: MOMENT },
      {
        state: 'pausing',
        purpose: 'freeze',
        ...LIVE,
        memoryBase: 'gn1',
        intent: 'gn2',
        intentCause: 'timeout',
      },
    ],
    [
      'whose restore broke off',
      { state: 'pausing', ...LIVE, memoryBase: 'gn1', intent: 'gn1' },
      {
        state: 'pausing',
        purpose: 'go-back',
        ...LIVE,
        memoryBase: 'gn1',
        intent: 'gn1',
        reason: 'its VM ended',
      },
    ],
    [
      'whose VM had ended',
      { state: 'pausing', disk: DISK, intent: 'gn2', intentCause: 'shutdown', reason: 'shut down' },
      {
        state: 'pausing',
        purpose: 'keep-disk',
        disk: DISK,
        intent: 'gn2',
        intentCause: 'shutdown',
        reason: 'shut down',
      },
    ],
    [
      'paused with its host, with leftovers of its life',
      { state: 'paused', paused: MOMENT, resumeAtStart: true, stopCause: 'timeout', intent: 'gn9' },
      { state: 'paused', paused: MOMENT, resumeAtStart: true },
    ],
    ['resuming', { state: 'resuming', paused: MOMENT }, { state: 'resuming', paused: MOMENT }],
    [
      'stopping',
      { state: 'stopping', vm: DEAD_VM, disk: DISK, stopCause: 'timeout' },
      { state: 'stopping', vm: DEAD_VM, disk: DISK, stopCause: 'timeout' },
    ],
    ['stopped', { state: 'stopped', reason: 'why' }, { state: 'stopped', reason: 'why' }],
  ])('of an earlier agent is understood: %s', (_name, fields, expected) => {
    const journal = decodeJournal(JSON.stringify(storedOf(ID, fields)), 'journal.json');
    expect(journal).toEqual(expect.objectContaining({ ...storedOf(ID, {}), ...expected }));
    const { policy: _policy, ...known } = journal;
    expect(
      Object.keys(known)
        .filter((name) => !(name in storedOf(ID, expected)))
        .toSorted(),
    ).toEqual(
      'purpose' in expected && !('reason' in expected) && expected.purpose === 'keep-disk'
        ? ['intentCause', 'reason']
        : [],
    );
  });

  test('of a newer agent is refused, and the error says what to do', () => {
    const text = JSON.stringify({ ...pendingOf(ID), version: 4 });
    expect(() => decodeJournal(text, 'journal.json')).toThrow(
      expect.objectContaining({
        code: 'setup_failed',
        message: 'the journal journal.json has version 4; this host agent understands up to 3',
        suggestion: 'Start the newer version of Dormouse that used this data directory before.',
      }),
    );
  });

  test('that is not there is none', async () => {
    await using directory = await temporaryDirectory();
    expect(await readJournal(join(directory.path, 'journal.json'))).toBeUndefined();
  });

  const whole = JSON.stringify(RUNNING);
  test.each([
    ['empty', ''],
    ['torn', whole.slice(0, -10)],
    ['all zeros', '\0'.repeat(whole.length)],
    ['of a version that never was', JSON.stringify({ ...RUNNING, version: 1 })],
    ['in a state that is none', JSON.stringify({ ...RUNNING, state: 'happy' })],
    ['without a spec', JSON.stringify({ ...RUNNING, spec: undefined })],
    ['of an id that is a path', JSON.stringify(pendingOf('../../../etc/passwd/xxx'))],
    ['with a pid that is text', JSON.stringify({ ...RUNNING, vm: { pid: '1', startTicks: 2 } })],
    ['paused in nothing', JSON.stringify({ ...pendingOf(ID), state: 'paused' })],
  ])('hazard 6: that is %s is an error, not a guess', async (_name, text) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await writeFile(path, text);
    await expect(readJournal(path)).rejects.toMatchObject({ code: 'internal' });
  });

  test('that cannot be read is an error, not absent', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await mkdir(path);
    await expect(readJournal(path)).rejects.toMatchObject({ code: 'EISDIR' });
  });
});
