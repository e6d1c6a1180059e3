import { describe, expect, test } from 'vitest';
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
} from '../records/journal.js';
import { DISK, pendingOf, runningOf, sandboxId } from '../testing/journals.js';
import { decideTakeOver, needsVm, type TakeOver, type TakeOverFacts } from './decide-take-over.js';

const ID = sandboxId('a');
const VMS = ['answers', 'silent', 'ended'] as const;
const BOOTED = runningOf(ID);
const RESTORED = runningOf(ID, { memoryBase: 'gn1' });
const LOADING = runningOf(ID, { memoryBase: 'gn1', loading: true });
const PAUSED = paused(BOOTED, { generationId: 'gn2', kind: 'full', atMs: 1 });

const AWAY = {
  do: 'keep-disk',
  reason: 'its VM ended while the host agent was away',
  cause: undefined,
} as const;
const SILENT = { do: 'keep-disk', reason: 'its VM no longer answered: why', cause: undefined } as const;
const BACK = {
  do: 'go-back',
  generationId: 'gn1',
  reason: 'its VM ended while the host agent was away',
} as const;
const NOTHING = { do: 'nothing' } as const;
const RUN_ON = { do: 'run-on' } as const;
const FINISH = { do: 'become-paused', generationId: 'gn3', kind: 'full', cause: 'timeout' } as const;
const KEEP = { do: 'keep-disk', reason: 'why', cause: 'shutdown' } as const;
const FINISH_DISK = { do: 'become-paused', generationId: 'gn3', kind: 'full', cause: 'shutdown' } as const;
const GO_BACK = { do: 'go-back', generationId: 'gn1', reason: 'the host agent ended' } as const;

/** By the VM (answers, silent, ended), without the generation of the pause and with it. */
const TABLE: readonly (readonly [string, Journal, readonly TakeOver[], readonly TakeOver[]])[] = [
  ['pending', pendingOf(ID), all({ do: 'remove' }), all({ do: 'remove' })],
  ['running, booted', BOOTED, [NOTHING, SILENT, AWAY], [NOTHING, SILENT, AWAY]],
  ['running, restored', RESTORED, [NOTHING, SILENT, AWAY], [NOTHING, SILENT, AWAY]],
  ['running, memory still to come', LOADING, [NOTHING, BACK, BACK], [NOTHING, BACK, BACK]],
  ['snapshotting', snapshotting(RESTORED), [RUN_ON, SILENT, AWAY], [RUN_ON, SILENT, AWAY]],
  ['freezing', freezing(RESTORED, 'gn3', 'timeout'), [RUN_ON, SILENT, AWAY], all(FINISH)],
  [
    'keeping the disk',
    keepingDisk(RESTORED, DISK, { reason: 'why', cause: 'shutdown', intent: 'gn3' }),
    all(KEEP),
    all(FINISH_DISK),
  ],
  [
    'keeping the disk, before a generation was begun',
    keepingDisk(RESTORED, DISK, { reason: 'why', cause: 'shutdown' }),
    all(KEEP),
    all(KEEP),
  ],
  ['going back', goingBack(LOADING, { generationId: 'gn1', reason: 'why' }), all(GO_BACK), all(GO_BACK)],
  ['paused', PAUSED, all(NOTHING), all(NOTHING)],
  ['resuming', resuming(PAUSED, 2), all({ do: 'stay-paused' }), all({ do: 'stay-paused' })],
  ['stopping', stopping(RESTORED), all({ do: 'remove' }), all({ do: 'remove' })],
  ['stopped', stopped(RESTORED, 'why'), all(NOTHING), all(NOTHING)],
];

function all(one: TakeOver): readonly TakeOver[] {
  return VMS.map(() => one);
}

describe('hazard 9: taking over a sandbox that was', () => {
  describe.each(TABLE)('%s', (_name, journal, without, withIt) => {
    test.each(VMS)('with a VM that %s', (vm) => {
      const index = VMS.indexOf(vm);
      const facts = (committed: TakeOverFacts['committed']): TakeOverFacts => ({
        committed,
        vm,
        problem: 'why',
      });
      expect(decideTakeOver(journal, facts(undefined))).toEqual(without[index]);
      expect(decideTakeOver(journal, facts('full'))).toEqual(withIt[index]);
    });

    test('asks for the VM exactly where the answer depends on it', () => {
      for (const [committed, row] of [
        [undefined, without],
        ['full', withIt],
      ] as const) {
        const depends = new Set(row.map((answer) => JSON.stringify(answer))).size > 1;
        expect(needsVm(journal, committed)).toBe(depends);
      }
    });

    test('hazard 5: never ends a VM that answers while nothing of it is durable', () => {
      const { do: action } = decideTakeOver(journal, { committed: undefined, vm: 'answers' });
      const runs =
        journal.purpose === undefined
          ? journal.state === 'running' || journal.state === 'snapshotting'
          : journal.purpose === 'freeze';
      if (runs) expect(['nothing', 'run-on']).toContain(action);
    });
  });
});
