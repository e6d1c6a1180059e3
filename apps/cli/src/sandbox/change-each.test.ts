import { DormouseError, type SandboxInfo } from '@dormouse/sdk';
import { afterEach, expect, test, vi } from 'vitest';
import { changeEach, resumedLine } from './change-each.js';

const info = (id: string, changes: Partial<SandboxInfo> = {}): SandboxInfo =>
  ({ id, resumedBy: 'memory', reason: null, ...changes }) as SandboxInfo;

let written = '';
const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
  written += text;
  return true;
});
afterEach(() => {
  written = '';
  out.mockClear();
});

test('every sandbox is told in the order it was named, and a failure is told after those that worked', async () => {
  const change = async (id: string) => {
    if (id === 'sb2') throw new DormouseError('not_found', 'there is no sandbox sb2');
    return info(id);
  };
  const run = (json: boolean) => changeEach(['sb1', 'sb2', 'sb3'], { json }, 'Pause', change, ({ id }) => id);
  await expect(run(false)).rejects.toMatchObject({ code: 'not_found', exitCode: 3 });
  expect(written).toBe('sb1\nsb3\n');
  written = '';
  await expect(run(true)).rejects.toMatchObject({ code: 'not_found' });
  expect(JSON.parse(written).map(({ id }: SandboxInfo) => id)).toEqual(['sb1', 'sb3']);
});

test('a sandbox that had to boot is said to have booted, and why', () => {
  expect(resumedLine(info('sb1'))).toBe('sb1');
  expect(resumedLine(info('sb1', { resumedBy: 'reboot' }))).toBe('sb1 (booted from its disk)');
  expect(resumedLine(info('sb1', { resumedBy: 'reboot', reason: 'its memory was lost' }))).toBe(
    'sb1 (booted from its disk: its memory was lost)',
  );
});
