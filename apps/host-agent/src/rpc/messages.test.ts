import { create } from '@bufbuild/protobuf';
import * as api from '@dormouse/host-api';
import type { Entry, Journal } from '@dormouse/sandbox';
import { describe, expect, test } from 'vitest';
import { entryMessage, processMessage, sandboxMessage, sandboxRequest, templateMessage } from './messages.js';

const ID = 'sb0123456789abcdefghij';
const COMMON = {
  version: 3,
  id: ID,
  generation: 3,
  spec: {
    template: 'base',
    imageId: 'img0123456789abcdefghij',
    user: 'user',
    vcpus: 2,
    memoryMb: 512,
    diskBytes: 8_589_934_592,
    envs: { A: '1' },
    internet: true,
    hostname: 'box',
  },
  policy: { timeoutSec: 600, onTimeout: 'kill', onMemoryLoss: 'fail' },
  createdAtMs: 1_767_323_045_678,
} as const;
const JOURNAL: Journal = {
  ...COMMON,
  state: 'running',
  vm: { slot: 'vm0123456789abcdef', pid: 42, startTicks: 1 },
  disk: { layers: ['ly1'], base: { kind: 'image', id: 'img0123456789abcdefghij' } },
  startedAtMs: 1_767_323_050_000,
};

function sandboxOf(journal: Journal) {
  const { spec, createdAtMs, startedAtMs = createdAtMs } = journal;
  return { journal, spec, lastActiveAtMs: startedAtMs };
}

describe('a sandbox on the wire', () => {
  test('carries what its journal says', () => {
    expect(sandboxMessage(sandboxOf(JOURNAL))).toEqual(
      create(api.SandboxSchema, {
        id: ID,
        generation: 3n,
        state: api.SandboxState.RUNNING,
        spec: {
          template: 'base',
          vcpus: 2,
          memoryMb: 512,
          envs: { A: '1' },
          internet: true,
          hostname: 'box',
        },
        reason: '',
        createdAtMs: 1_767_323_045_678n,
        startedAtMs: 1_767_323_050_000n,
        lastActiveAtMs: 1_767_323_050_000n,
        diskBytes: 8_589_934_592n,
        imageId: 'img0123456789abcdefghij',
        policy: {
          timeoutSec: 600,
          onTimeout: api.OnTimeout.KILL,
          onMemoryLoss: api.OnMemoryLoss.FAIL,
        },
      }),
    );
  });

  test.each<[Journal, api.SandboxState]>([
    [{ ...COMMON, state: 'pending' }, api.SandboxState.PENDING],
    [JOURNAL, api.SandboxState.RUNNING],
    [{ ...COMMON, state: 'stopping' }, api.SandboxState.STOPPING],
    [{ ...COMMON, state: 'stopped', reason: 'why' }, api.SandboxState.STOPPED],
  ])('that is $state says so', (journal, expected) => {
    expect(sandboxMessage(sandboxOf(journal)).state).toBe(expected);
  });

  test('that never ran says since when and why', () => {
    expect(sandboxMessage(sandboxOf({ ...COMMON, state: 'stopped', reason: 'no luck' }))).toMatchObject({
      startedAtMs: 0n,
      lastActiveAtMs: 1_767_323_045_678n,
      reason: 'no luck',
    });
  });
});

describe('a request on the wire', () => {
  test('of zeros and empty words asks for the defaults', () => {
    expect(sandboxRequest(create(api.SandboxSpecSchema, { template: 'base' }))).toStrictEqual({
      template: 'base',
      envs: {},
      internet: false,
    });
  });

  test('asks for what it names', () => {
    const spec = create(api.SandboxSpecSchema, {
      template: 'python',
      vcpus: 2,
      memoryMb: 1024,
      envs: { A: '1' },
      internet: true,
      hostname: 'box',
    });
    expect(sandboxRequest(spec)).toStrictEqual({
      template: 'python',
      vcpus: 2,
      memoryMb: 1024,
      envs: { A: '1' },
      internet: true,
      hostname: 'box',
    });
  });
});

test('a template on the wire carries its record', () => {
  expect(
    templateMessage({
      name: 'base',
      imageId: 'img0123456789abcdefghij',
      recipeHash: 'f00d',
      description: 'the base',
      user: 'user',
      vcpus: 1,
      memoryMb: 512,
      diskBytes: 8_589_934_592,
      sizeBytes: 512_000_000,
      createdAt: '2026-01-02T03:04:05.678Z',
    }),
  ).toEqual(
    create(api.TemplateSchema, {
      name: 'base',
      imageId: 'img0123456789abcdefghij',
      diskBytes: 8_589_934_592n,
      sizeBytes: 512_000_000n,
      createdAtMs: 1_767_323_045_678n,
      defaultVcpus: 1,
      defaultMemoryMb: 512,
    }),
  );
});

describe('a file on the wire', () => {
  const ENTRY: Entry = {
    type: 'symlink',
    targetType: 'file',
    mode: 0o4755,
    uid: 1000,
    gid: 100,
    sizeBytes: 9_007_199_254_740_993n,
    modifiedSeconds: 1_767_323_045,
    modifiedNanoseconds: 678_999_999,
    name: 'straße',
    path: '/home/user/straße',
    owner: 'user',
    group: 'users',
    symlinkTarget: '/usr/bin/x',
  };

  test('carries everything; time is cut to milliseconds', () => {
    expect(entryMessage(ENTRY)).toEqual(
      create(api.FileEntrySchema, {
        name: 'straße',
        path: '/home/user/straße',
        type: api.FileType.SYMLINK,
        targetType: api.FileType.FILE,
        mode: 0o4755,
        uid: 1000,
        gid: 100,
        owner: 'user',
        group: 'users',
        size: 9_007_199_254_740_993n,
        modifiedAtMs: 1_767_323_045_678n,
        symlinkTarget: '/usr/bin/x',
      }),
    );
  });

  test.each([
    ['file', 'file', api.FileType.FILE, api.FileType.FILE],
    ['directory', 'directory', api.FileType.DIRECTORY, api.FileType.DIRECTORY],
    ['other', 'other', api.FileType.OTHER, api.FileType.OTHER],
    ['symlink', 'broken', api.FileType.SYMLINK, api.FileType.UNSPECIFIED],
  ] as const)('that is a %s leading to a %s says so', (type, targetType, expected, expectedTarget) => {
    const message = entryMessage({ ...ENTRY, type, targetType });
    expect([message.type, message.targetType]).toEqual([expected, expectedTarget]);
  });

  test('from before 1970 keeps its time', () => {
    const message = entryMessage({ ...ENTRY, modifiedSeconds: -1, modifiedNanoseconds: 250_000_000 });
    expect(message.modifiedAtMs).toBe(-750n);
  });
});

test('a process on the wire carries everything', () => {
  expect(
    processMessage({
      pid: 42,
      running: false,
      terminal: true,
      inputOpen: false,
      startTimeMs: 1_767_323_045_678,
      exitCode: -1,
      signal: 9,
      tag: 'build',
      user: 'user',
      cwd: '/home/user',
      argv: ['sleep', '600'],
    }),
  ).toEqual(
    create(api.ProcessSchema, {
      pid: 42,
      running: false,
      terminal: true,
      startedAtMs: 1_767_323_045_678n,
      exitCode: -1,
      signal: 9,
      tag: 'build',
      user: 'user',
      cwd: '/home/user',
      argv: ['sleep', '600'],
    }),
  );
});
