import type { SnapshotInfo } from '@dormouse/sdk';
import { expect, test } from 'vitest';
import { drawTree, growTree } from './tree.js';

type Entry = SnapshotInfo['lineage'][number];

const BASE: Entry = { id: 'img-1', name: 'base', type: 'base', deleted: false };
const ancestor = (name: string, deleted = false): Entry => ({
  id: `sn-${name}`,
  name,
  type: 'snapshot',
  deleted,
});
const snapshot = (name: string, ...lineage: Entry[]): SnapshotInfo =>
  ({
    id: `sn-${name}`,
    name,
    type: 'snapshot',
    sizeBytes: 1024,
    lineage: [...lineage, BASE],
  }) as SnapshotInfo;
const template = (name: string): SnapshotInfo =>
  ({ id: 'img-2', name, type: 'base', sizeBytes: 2048, lineage: [] as Entry[] }) as SnapshotInfo;

const SNAPSHOTS = [
  snapshot('leaf', ancestor('gone', true), ancestor('tools')),
  snapshot('tools'),
  snapshot('another', ancestor('tools')),
  snapshot('alone'),
  template('mouse'),
  template('base'),
];

test('the tree shows what descends from what, through what was deleted, whatever the order', () => {
  const expected = [
    'base  2.0 KiB',
    '├─ alone  1.0 KiB',
    '└─ tools  1.0 KiB',
    '   ├─ another  1.0 KiB',
    '   └─ gone (deleted)',
    '      └─ leaf  1.0 KiB',
    'mouse  2.0 KiB',
  ];
  expect(drawTree(growTree(SNAPSHOTS))).toEqual(expected);
  expect(drawTree(growTree(SNAPSHOTS.toReversed()))).toEqual(expected);
});

test('a template that is not there any more is still where things come from', () => {
  expect(growTree([snapshot('kept')])).toEqual([
    {
      ...BASE,
      sizeBytes: null,
      children: [
        { id: 'sn-kept', name: 'kept', type: 'snapshot', deleted: false, sizeBytes: 1024, children: [] },
      ],
    },
  ]);
  expect(growTree([])).toEqual([]);
});
