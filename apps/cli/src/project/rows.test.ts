import { DormouseError } from '@dormouse/errors';
import type { OpenProject, ProjectInfo, ProjectSnapshotInfo } from '@dormouse/sdk';
import { expect, test } from 'vitest';
import { momentRows, openedJson, openedLine, projectRows } from './rows.js';

const NOW = Date.parse('2026-01-31T10:30:00.000Z');
const AN_HOUR_AGO = '2026-01-31T09:30:00.000Z';

test('projects say whether they are open, where, and when they were used last', () => {
  const project = {
    name: 'thesis',
    state: 'open',
    sandboxId: 'sb1',
    sandboxState: 'paused',
    template: 'base',
    openedAt: AN_HOUR_AGO,
    savedAt: null,
  } as ProjectInfo;
  const closed = { ...project, state: 'closed', sandboxId: null, sandboxState: null } as ProjectInfo;
  expect(projectRows([project, closed], NOW)).toEqual([
    ['thesis', 'open (paused)', 'sb1', 'base', '1 h ago', 'never'],
    ['thesis', 'closed', '', 'base', '1 h ago', 'never'],
  ]);
});

test('moments say what they hold, as far as that was counted', () => {
  const moment = {
    id: 'sn1',
    description: null,
    createdAt: AN_HOUR_AGO,
    fileCount: null,
    sizeMb: null,
    metadata: {},
  };
  const counted: ProjectSnapshotInfo = { ...moment, description: 'mine', fileCount: 3, sizeMb: 1.25 };
  expect(momentRows([moment, counted], NOW)).toEqual([
    ['sn1', '1 h', '?', '?', '(automatic)'],
    ['sn1', '1 h', '3', '1.25 MiB', 'mine'],
  ]);
});

test('an opened project is its sandbox, and where it is not where it was, why', () => {
  const live = {
    project: { name: 'thesis' },
    sandbox: { id: 'sb1', info: { id: 'sb1' } },
    restoredFrom: 'live',
    snapshotId: null,
    restoreError: null,
  } as unknown as OpenProject;
  const damaged = new DormouseError('snapshot_corrupt', 'page 7 is damaged');
  expect(openedLine(live)).toBe('sb1');
  expect(openedLine({ ...live, restoredFrom: 'snapshot' })).toBe('sb1 (from its snapshot)');
  expect(openedLine({ ...live, restoredFrom: 'template', restoreError: damaged })).toBe(
    'sb1 (from its template: page 7 is damaged)',
  );
  expect(openedJson({ ...live, restoreError: damaged })).toEqual({
    project: { name: 'thesis' },
    sandbox: { id: 'sb1' },
    restoredFrom: 'live',
    snapshotId: null,
    restoreError: { code: 'snapshot_corrupt', message: 'page 7 is damaged' },
  });
});
