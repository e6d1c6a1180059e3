import { expect, test } from 'vitest';
import type { z } from 'zod';
import {
  CreateSandboxRequest,
  CreateSnapshotRequest,
  ExecClientMessage,
  ExecRequest,
  ForkSandboxRequest,
  GuestPath,
  ListSandboxesQuery,
  Name,
  PageQuery,
  PauseSandboxRequest,
  ResumeSandboxRequest,
  SandboxId,
} from './index.js';

/** The messages of a refused value, as `path: message`. */
function refusal(schema: z.ZodType, value: unknown): string[] {
  const result = schema.safeParse(value);
  return (result.error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

test('an empty create request is a sandbox of the base template that never times out', () => {
  expect(CreateSandboxRequest.parse({})).toEqual({
    template: 'base',
    timeout_sec: 0,
    on_memory_loss: 'reboot',
    on_timeout: 'pause',
    envs: {},
    metadata: {},
    internet: true,
  });
});

test('absurd sizes are refused with the limit in the message', () => {
  expect(refusal(CreateSandboxRequest, { vcpus: 1000 })).toEqual([
    'vcpus: must be a whole number from 1 to 64',
  ]);
  expect(refusal(CreateSandboxRequest, { vcpus: 1.5 })).toEqual([
    'vcpus: must be a whole number from 1 to 64',
  ]);
  expect(refusal(CreateSandboxRequest, { memory_mb: 1 })).toEqual([
    'memory_mb: must be a whole number from 128 to 1048576',
  ]);
  expect(refusal(CreateSandboxRequest, { timeout_sec: -1 })).toEqual([
    'timeout_sec: must be a whole number from 0 to 31536000',
  ]);
  expect(refusal(CreateSandboxRequest, { memory: 512 })).toEqual([': Unrecognized key: "memory"']);
});

test('hazard 14: a name cannot climb out of a folder', () => {
  for (const name of ['../etc', '..', '.hidden', 'a/b', 'a\\b', '', 'x'.repeat(65), 'a\0b', 'ä']) {
    expect(refusal(Name, name)).toHaveLength(1);
  }
  for (const name of ['base', 'python3.12', 'A_b-c', 'x'.repeat(64)]) expect(refusal(Name, name)).toEqual([]);
});

test('sandbox ids are exact', () => {
  expect(SandboxId.safeParse('sb4f9k2m7q1x8c3v6b0n5z').success).toBe(true);
  for (const id of ['sb', 'SB4f9k2m7q1x8c3v6b0n5z', 'sb4f9k2m7q1x8c3v6b0n5z\n', 'sb4f9k2m7q1x8c3v6b0n5zz']) {
    expect(SandboxId.safeParse(id).success).toBe(false);
  }
});

test('nothing with a NUL byte reaches a guest', () => {
  expect(refusal(ExecRequest, { cmd: 'a\0b' })).toEqual(['cmd: must not contain a NUL byte']);
  expect(refusal(ExecRequest, { cmd: 'a', args: ['b\0'] })).toEqual(['args.0: must not contain a NUL byte']);
  expect(refusal(GuestPath, '/a\0b')).toEqual([': must not contain a NUL byte']);
});

test('environment variables have names a shell accepts', () => {
  expect(refusal(ExecRequest, { cmd: 'a', envs: { 'A=B': 'c' } })).toHaveLength(1);
  expect(refusal(ExecRequest, { cmd: 'a', envs: { _A1: 'c' } })).toEqual([]);
});

test('stream messages are told apart by type, and stdin is base64 unless it says otherwise', () => {
  expect(ExecClientMessage.parse({ type: 'stdin', data: 'aGk=' })).toEqual({
    type: 'stdin',
    data: 'aGk=',
    encoding: 'base64',
  });
  expect(ExecClientMessage.parse({ type: 'start', cmd: 'cat' })).toEqual({
    type: 'start',
    cmd: 'cat',
    envs: {},
    timeout_sec: 0,
    stdin: true,
    detach: false,
  });
  expect(ExecClientMessage.safeParse({ type: 'nonsense' }).success).toBe(false);
});

test('page parameters are whole numbers in bounds', () => {
  expect(PageQuery.parse({ limit: '10' })).toEqual({ limit: 10 });
  for (const limit of ['0', '1001', '-1', '1e2', '', 'ten']) {
    expect(refusal(PageQuery, { limit })).toEqual(['limit: must be a whole number from 1 to 1000']);
  }
});

test('metadata filters pass through the list query', () => {
  expect(ListSandboxesQuery.parse({ 'metadata.purpose': 'ci', state: 'running' })).toEqual({
    'metadata.purpose': 'ci',
    state: 'running',
  });
});

test('pausing keeps memory, resuming uses it, and a fork is one child unless something else is said', () => {
  expect(PauseSandboxRequest.parse({})).toEqual({ memory: true });
  expect(ResumeSandboxRequest.parse({})).toEqual({ reboot: false });
  expect(ForkSandboxRequest.parse({})).toEqual({ count: 1 });
  for (const count of [0, 101, 1.5]) {
    expect(refusal(ForkSandboxRequest, { count })).toEqual(['count: must be a whole number from 1 to 100']);
  }
  expect(refusal(ResumeSandboxRequest, { timeout_sec: -1 })).toEqual([
    'timeout_sec: must be a whole number from 0 to 31536000',
  ]);
  expect(refusal(PauseSandboxRequest, { disk: true })).toEqual([': Unrecognized key: "disk"']);
});

test('hazard 14: the name of a snapshot is a name, and no id', () => {
  const sandbox_id = 'sb4f9k2m7q1x8c3v6b0n5z';
  expect(CreateSnapshotRequest.parse({ sandbox_id })).toEqual({ sandbox_id, memory: true, pause: false });
  for (const name of ['../etc', '', '.x', 'a/b', 'x'.repeat(65)]) {
    expect(refusal(CreateSnapshotRequest, { sandbox_id, name })).toHaveLength(1);
  }
  expect(refusal(CreateSnapshotRequest, { sandbox_id, name: 'sn4f9k2m7q1x8c3v6b0n5z' })).toEqual([
    'name: must not look like the id of a snapshot',
  ]);
  expect(refusal(CreateSnapshotRequest, { sandbox_id, name: 'snapshot' })).toEqual([]);
});
