import { expect, test } from 'vitest';
import { compareMachine, describeDifferences } from './machine.js';

const RECORDED = {
  qemuVersion: '7.2.22',
  cpuModel: 'qemu64',
  vcpus: 2,
  memoryBytes: 536_870_912,
  nested: false,
};

test('hazard 20: the same machine has no differences, whatever the order of its facts', () => {
  const reordered = Object.fromEntries(Object.entries(RECORDED).toReversed());
  expect(compareMachine(RECORDED, reordered)).toEqual([]);
});

test('hazard 20: every fact that differs is named with both values, missing ones too', () => {
  const { nested: _nested, ...present } = { ...RECORDED, cpuModel: 'max', vcpus: 1, accelerator: 'tcg' };
  const differences = compareMachine(RECORDED, present);
  expect(differences).toEqual([
    { fact: 'accelerator', recorded: undefined, present: 'tcg' },
    { fact: 'cpuModel', recorded: 'qemu64', present: 'max' },
    { fact: 'nested', recorded: false, present: undefined },
    { fact: 'vcpus', recorded: 2, present: 1 },
  ]);
  expect(describeDifferences(differences)).toBe(
    'accelerator was unknown and is tcg, cpuModel was qemu64 and is max, nested was false and is unknown, vcpus was 2 and is 1',
  );
});
