import { cpus } from 'node:os';
import type { Template } from '@dormouse/rootfs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resolveSpec, SANDBOX_ID, type SandboxRequest } from './sandbox-spec.js';

const ID = 'sb0123456789abcdefghij';
const TEMPLATE: Template = {
  name: 'base',
  imageId: 'img0123456789abcdefghij',
  recipeHash: 'f00d',
  description: 'the base',
  user: 'user',
  vcpus: 2,
  memoryMb: 512,
  diskBytes: 8_589_934_592,
  sizeBytes: 512_000_000,
  createdAt: '2026-01-02T03:04:05.678Z',
};
const REQUEST: SandboxRequest = { template: 'base', envs: { A: '1' }, internet: true };
const MAX_VCPUS = Math.max(8, cpus().length * 4);

describe('a request', () => {
  test('that asks for nothing gets what the template says', () => {
    expect(resolveSpec(ID, REQUEST, TEMPLATE)).toEqual({
      template: 'base',
      imageId: 'img0123456789abcdefghij',
      user: 'user',
      vcpus: 2,
      memoryMb: 512,
      diskBytes: 8_589_934_592,
      envs: { A: '1' },
      internet: true,
      hostname: ID,
    });
  });

  test('gets what it asks for', () => {
    const request: SandboxRequest = {
      template: 'base',
      vcpus: 1,
      memoryMb: 128,
      envs: {},
      internet: false,
      hostname: 'box',
    };
    expect(resolveSpec(ID, request, TEMPLATE)).toMatchObject({
      vcpus: 1,
      memoryMb: 128,
      envs: {},
      internet: false,
      hostname: 'box',
    });
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, MAX_VCPUS + 1, 4_294_967_295])(
    'for %d vcpus is refused',
    (vcpus) => {
      expect(() => resolveSpec(ID, { ...REQUEST, vcpus }, TEMPLATE)).toThrow(
        expect.objectContaining({
          code: 'invalid_request',
          message: `vcpus must be 1 to ${MAX_VCPUS} on this host, not ${vcpus}`,
        }),
      );
    },
  );

  test.each([0, 127, 128.5, -512, Number.NaN, 1_048_577, 4_294_967_295])(
    'for %d MiB is refused',
    (memoryMb) => {
      expect(() => resolveSpec(ID, { ...REQUEST, memoryMb }, TEMPLATE)).toThrow(
        expect.objectContaining({
          code: 'invalid_request',
          message: `memory_mb must be 128 to 1048576, not ${memoryMb}`,
        }),
      );
    },
  );

  test.each([
    [1, 128],
    [MAX_VCPUS, 1_048_576],
  ])('for %d vcpus and %d MiB is granted', (vcpus, memoryMb) => {
    expect(resolveSpec(ID, { ...REQUEST, vcpus, memoryMb }, TEMPLATE)).toMatchObject({ vcpus, memoryMb });
  });
});

describe('hazard 14: a sandbox id', () => {
  test('is one file name, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^sb[a-z0-9./\0]{20}$/)), (id) => {
        if (SANDBOX_ID.test(id)) expect(id).toMatch(/^[a-z0-9]{22}$/);
      }),
    );
  });

  test.each([
    '',
    'sb',
    `${ID}\n`,
    `${ID}x`,
    ID.toUpperCase(),
    `../${ID.slice(3)}`,
    'sb..................../',
  ])('is not %j', (id) => {
    expect(SANDBOX_ID.test(id)).toBe(false);
  });
});
