import { setImmediate } from 'node:timers/promises';
import type { ProcessEvent, Sandbox } from '@dormouse/sdk';
import { expect, test, vi } from 'vitest';
import { execHere } from './exec.js';

/** A sandbox whose only process says what it is told to, and notes when it is left. */
function sandboxThatSays(events: readonly ProcessEvent[]): { sandbox: Sandbox; log: string[] } {
  const log: string[] = [];
  const remote = {
    async *[Symbol.asyncIterator]() {
      for (const event of events) {
        await setImmediate();
        log.push(event.type);
        yield event;
      }
    },
    kill: async () => {},
    close: () => {},
    [Symbol.asyncDispose]: async () => {
      log.push('left');
    },
  };
  return { sandbox: { spawn: async () => remote } as unknown as Sandbox, log };
}

test('the command is left only after its end, and its exit code is ours', async () => {
  const { sandbox, log } = sandboxThatSays([{ type: 'exit', exitCode: 7, signal: null }]);
  expect(await execHere({ sandbox, command: 'exit 7', stdin: false, tty: false })).toBe(7);
  expect(log).toEqual(['exit', 'left']);
});

test('output goes to the stream it belongs to, byte for byte', async () => {
  const written: [string, Buffer][] = [];
  const keep = (name: string) => (data: unknown, callback: unknown) => {
    written.push([name, Buffer.from(data as Uint8Array)]);
    (callback as () => void)();
    return true;
  };
  const out = vi.spyOn(process.stdout, 'write').mockImplementation(keep('stdout') as never);
  const err = vi.spyOn(process.stderr, 'write').mockImplementation(keep('stderr') as never);
  try {
    const { sandbox } = sandboxThatSays([
      { type: 'stdout', data: new Uint8Array([0, 255]) },
      { type: 'stderr', data: new Uint8Array([10]) },
      { type: 'exit', exitCode: 0, signal: null },
    ]);
    expect(await execHere({ sandbox, command: 'x', stdin: false, tty: false })).toBe(0);
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
  expect(written).toEqual([
    ['stdout', Buffer.from([0, 255])],
    ['stderr', Buffer.from([10])],
  ]);
});

test('when nobody reads our output any more, the command is left as a broken pipe would leave it', async () => {
  const out = vi.spyOn(process.stdout, 'write').mockImplementation(((_data: unknown, callback: unknown) => {
    (callback as (error: Error) => void)(new Error('EPIPE'));
    return true;
  }) as never);
  try {
    const { sandbox, log } = sandboxThatSays([
      { type: 'stdout', data: new Uint8Array(1) },
      { type: 'stdout', data: new Uint8Array(1) },
    ]);
    expect(await execHere({ sandbox, command: 'yes', stdin: false, tty: false })).toBe(141);
    expect(log).toEqual(['stdout', 'left']);
  } finally {
    out.mockRestore();
  }
});
