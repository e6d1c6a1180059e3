import { DormouseError } from '@dormouse/errors';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { DEVICES, hex, ramOf, smallStream } from '../testing/fixture.js';
import { RamPages } from '../testing/ram-pages.js';
import { message, request, ScriptedVm, u32 } from '../testing/scripted-vm.js';
import { PostcopySource } from './postcopy-source.js';
import type { RestoreOptions } from './restore-options.js';
import type { RestoreStatistics } from './statistics.js';

const ROM = Buffer.alloc(4096, 0x55);
const PART = '02 00000002';
const RAM = '03 72616d';
const FOOTER = '0000000000000010 7e 00000002';
const AT_ONCE: RestoreOptions = { background: { quietMs: 0 } };

interface Restore {
  readonly vm: ScriptedVm;
  readonly pages: RamPages;
  readonly done: Promise<RestoreStatistics>;
}

/** A restore of a VM whose RAM page `n` is filled with the byte `contents[n]`, up to where the guest is about to run. */
async function running(
  contents: readonly number[],
  options: RestoreOptions = AT_ONCE,
): Promise<Restore & { readonly ahead: Buffer }> {
  const restore = begun(contents, options);
  restore.vm.read();
  await restore.vm.idle();
  return { ...restore, ahead: await restore.vm.take(restore.vm.unread.length) };
}

function begun(contents: readonly number[], options: RestoreOptions = AT_ONCE): Restore {
  const vm = new ScriptedVm();
  const pages = new RamPages(ramOf(...contents));
  const source = new PostcopySource(vm.connection, smallStream(contents.length, ROM), pages, options);
  const done = source.run();
  done.catch(() => {});
  return { vm, pages, done };
}

/** What has come since, all of it. */
async function next(vm: ScriptedVm): Promise<string> {
  await vm.idle();
  return shown(await vm.take(vm.unread.length));
}

/** Bytes as hexadecimal digits, with the content of a page written as one of its bytes, for messages to be read. */
function shown(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replaceAll(/(..)\1{4095}/g, '<page $1>');
}

function page(value: number): string {
  return Buffer.alloc(4096, value).toString('hex');
}

afterEach(() => {
  vi.useRealTimers();
});

test('a restore says exactly this', async () => {
  const { vm, pages, done, ahead } = await running([1, 0, 3, 4], {
    ...AT_ONCE,
    workingSet: [2, 2, 99, -1, 0.5],
  });
  expect(shown(ahead)).toBe(
    shown(
      Buffer.concat([
        hex('5145564d 00000003', '07 00000007 6d6963726f766d', '08 0001 0000'),
        hex('08 0003 0010 0000000000001000 0000000000001000'),
        hex('01 00000002', RAM, '00000000 00000004 0000000000006004'),
        hex(RAM, '0000000000004000', '03 726f6d 0000000000002000', FOOTER),
        hex('08 0006 0016 00', RAM, '00 0000000000000000 0000000000004000'),
        hex(PART, '0000000000000008 03 726f6d', page(0x55), '0000000000001022 00'),
        hex('0000000000002008', RAM, page(3), FOOTER),
        hex('08 0007 0004', u32(DEVICES.length + 19).toString('hex'), '08 0004 0000'),
        DEVICES,
        hex('08 0002 0004 00000000', '08 0005 0000'),
      ]),
    ),
  );
  vm.request(1);
  expect(await next(vm)).toBe(shown(hex(PART, '0000000000001002', RAM, '00', FOOTER)));
  vm.pong(0);
  expect(await next(vm)).toBe(
    shown(
      hex(
        PART,
        '0000000000000008',
        RAM,
        page(1),
        '0000000000003028',
        page(4),
        FOOTER,
        '08 0002 0004 00000001',
      ),
    ),
  );
  // All of these were sent: no answer.
  for (const sent of [0, 1, 2, 3]) vm.request(sent);
  vm.request(0, 'rom', 2);
  expect(await next(vm)).toBe(shown(hex('')));
  vm.pong(1);
  expect(await next(vm)).toBe(shown(hex('03 00000002', FOOTER, '00')));
  vm.shut(0);
  const statistics = await done;
  expect(statistics).toMatchObject({
    requests: 6,
    requestedPages: [1, 0, 2, 3],
    sentAhead: 1,
    answered: 1,
    pushed: 2,
  });
  expect(pages.reads).toBe(4);
  expect(statistics.untilSentMs).toBeLessThanOrEqual(statistics.untilRunningMs);
  expect(statistics.untilRunningMs).toBeLessThanOrEqual(statistics.untilLoadedMs);
});

test('what of the working set is not sent before the guest runs follows at once, in order', async () => {
  const options = { background: { quietMs: 60_000 }, workingSet: [3, 1, 0], pagesBeforeRun: 1 };
  const { vm, done, ahead } = await running([1, 2, 3, 4, 5], options);
  const trailing = hex('0000000000001008', RAM, page(2), '0000000000000028', page(1), FOOTER);
  expect(shown(ahead)).toContain(shown(hex('0000000000003008', RAM, page(4), FOOTER)));
  expect(shown(ahead)).toContain(
    shown(Buffer.concat([hex('0005 0000', PART), trailing, hex('08 0002 0004 00000001')])),
  );
  vm.pong(0);
  vm.pong(1);
  expect(await next(vm)).toBe('');
  // One that is on its way is not sent again, one that is not is answered.
  vm.request(1);
  vm.request(2);
  expect(await next(vm)).toBe(shown(hex(PART, '0000000000002008', RAM, page(3), FOOTER)));
  vm.hangUp();
  await expect(done).rejects.toMatchObject({ code: 'restore_failed' });
});

test('hazard 3: memory that is all zeros costs nothing', async () => {
  const { vm, pages, done } = await running([0, 0, 0, 0, 0, 0, 0, 0]);
  vm.pong(0);
  expect(await next(vm)).toBe(shown(hex('03 00000002', FOOTER, '00')));
  vm.shut(0);
  expect((await done).pushed).toBe(0);
  expect(pages.reads).toBe(0);
});

describe('a request', () => {
  test('for several pages, or more than once, is answered page by page, once', async () => {
    const { vm, pages } = await running([1, 2, 0, 4]);
    vm.say(Buffer.concat([message(3, Buffer.concat([Buffer.alloc(11), hex('00 03 72616d')]))]));
    vm.request(0, 'ram', 3);
    vm.request(1, 'ram', 2);
    expect(await next(vm)).toBe(
      shown(
        hex(
          PART,
          '0000000000000008',
          RAM,
          page(1),
          '0000000000001028',
          page(2),
          '0000000000002022 00',
          FOOTER,
        ),
      ),
    );
    expect(pages.reads).toBe(3);
  });

  test('brings the populated neighbours, when it shall', async () => {
    const { vm } = await running([1, 2, 0, 4, 5], { ...AT_ONCE, clusterPages: 4 });
    vm.request(1);
    expect(await next(vm)).toBe(
      shown(
        hex(
          PART,
          '0000000000001008',
          RAM,
          page(2),
          '0000000000000028',
          page(1),
          '0000000000003028',
          page(4),
          FOOTER,
        ),
      ),
    );
  });

  test('tells its page once', async () => {
    const told: number[] = [];
    const { vm } = await running([1, 2, 3], { ...AT_ONCE, onRequest: (each) => told.push(each) });
    for (const each of [2, 0, 2, 0]) vm.request(each);
    await vm.idle();
    expect(told).toEqual([2, 0]);
  });

  test('waits behind no more background than the window, however much is left', async () => {
    const contents = Array.from({ length: 1000 }, (_, index) => 1 + (index % 250));
    const options = { background: { quietMs: 0, slicePages: 3, windowSlices: 2 } };
    const { vm, pages } = await running(contents, options);
    vm.pong(0);
    const slice = (first: number, ping: string): string =>
      [
        PART,
        `${(first * 4096 + 8).toString(16).padStart(16, '0')} ${RAM}`,
        page(contents[first]!),
        ...[first + 1, first + 2].flatMap((each) => [
          (each * 4096 + 0x28).toString(16).padStart(16, '0'),
          page(contents[each]!),
        ]),
        FOOTER,
        `08 0002 0004 ${ping}`,
      ].join('');
    expect(await next(vm)).toBe(shown(hex(slice(0, '00000001'), slice(3, '00000002'))));
    expect(pages.reads).toBe(6);
    vm.request(999);
    expect(await next(vm)).toBe(shown(hex(PART, '00000000003e7008', RAM, page(250), FOOTER)));
    vm.pong(1);
    expect(await next(vm)).toBe(shown(hex(slice(6, '00000003'))));
  });

  test('hazard 7: the end follows the last answer, also when nothing else comes from the VM any more', async () => {
    // More pages of zeros than four answers hold: they are sent only because they are asked for.
    const zeros = 4 * 16 + 8;
    const { vm, done } = await running([1, ...Array.from({ length: zeros }, () => 0)]);
    vm.pong(0);
    await vm.idle();
    vm.stopReading();
    const requests = Array.from({ length: zeros }, (_, each) => request((each + 1) * 4096, 4096, 'ram'));
    // The pong of the last slice comes together with the requests, and is the last word of the VM.
    vm.say(Buffer.concat([...requests, message(2, u32(1))]));
    await vm.idle();
    vm.read();
    await vm.idle();
    expect(shown(vm.unread).endsWith(shown(hex('03 00000002', FOOTER, '00')))).toBe(true);
    vm.shut(0);
    expect((await done).requests).toBe(zeros);
  });

  test('hazard 12: a flood of them, and an end that does not read, hold few pages in memory', async () => {
    const contents = Array.from({ length: 2000 }, () => 7);
    const { vm, pages, done } = await running(contents);
    vm.stopReading();
    const requests = contents.map((_, each) => request(each * 4096, 4096, 'ram'));
    vm.say(Buffer.concat(requests));
    await vm.idle();
    // Four answers of 16 pages each, and those that the stream between the two ends has taken.
    expect(pages.reads).toBeGreaterThanOrEqual(64);
    expect(pages.reads).toBeLessThanOrEqual(128);
    vm.read();
    await vm.take(2000 * 4096);
    expect(pages.reads).toBe(2000);
    vm.hangUp();
    await expect(done).rejects.toMatchObject({ code: 'restore_failed' });
  });
});

describe('while the guest misses pages', () => {
  test('nothing is pushed until it has been quiet for a while', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const { vm } = await running([1, 2, 3], { background: { quietMs: 10 } });
    vm.pong(0);
    await vm.idle();
    vi.advanceTimersByTime(9);
    vm.request(1);
    expect(await next(vm)).toBe(shown(hex(PART, '0000000000001008', RAM, page(2), FOOTER)));
    vi.advanceTimersByTime(9);
    expect(await next(vm)).toBe(shown(hex('')));
    vi.advanceTimersByTime(1);
    expect(await next(vm)).toBe(
      shown(
        hex(
          PART,
          '0000000000000008',
          RAM,
          page(1),
          '0000000000002028',
          page(3),
          FOOTER,
          '08 0002 0004 00000001',
        ),
      ),
    );
  });

  test('the rest comes all the same after a time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const contents = Array.from({ length: 200 }, () => 7);
    const { vm } = await running(contents, { background: { quietMs: 10, atLatestMs: 100 } });
    vm.pong(0);
    await vm.idle();
    for (let each = 0; each < 19; each++) {
      vm.request(each);
      expect(await next(vm)).toContain('<page 07>');
      vi.advanceTimersByTime(5);
    }
    vi.advanceTimersByTime(5);
    expect((await next(vm)).split('<page 07>').length).toBe(1 + 64);
  });
});

describe('hazard 7: a restore ends with an error when', () => {
  test('the VM hangs up', async () => {
    const { vm, done } = await running([1]);
    vm.hangUp();
    await expect(done).rejects.toMatchObject({ code: 'restore_failed' });
  });

  test('the VM reports a failure', async () => {
    const { vm, done } = await running([1]);
    vm.shut(1);
    await expect(done).rejects.toThrow(
      'the lazy restore failed: the VM could not take the memory (status 1)',
    );
  });

  test('the VM says it is complete before it is', async () => {
    const { vm, done } = await running([1]);
    vm.shut(0);
    await expect(done).rejects.toThrow('the VM ended the restore before it was complete');
  });

  test.each([
    ['a ping that was not sent', (vm: ScriptedVm) => vm.pong(1)],
    [
      'the first ping twice',
      (vm: ScriptedVm) => {
        vm.pong(0);
        vm.pong(0);
      },
    ],
    ['a page of no block', (vm: ScriptedVm) => vm.request(0, 'vga')],
    ['a page beyond the end', (vm: ScriptedVm) => vm.request(1)],
    ['more than a huge page', (vm: ScriptedVm) => vm.request(0, 'ram', 513)],
    ['half a page', (vm: ScriptedVm) => vm.say(message(3, hex('0000000000000800 00000800', RAM)))],
  ])('hazard 15: the VM asks for or answers %s', async (_, say) => {
    const { vm, done } = await running([1]);
    say(vm);
    await expect(done).rejects.toMatchObject({ code: 'restore_failed' });
  });

  test('nothing moves', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const { vm, done } = await running([1], { stallMs: 5000 });
    vi.advanceTimersByTime(4999);
    // Requests alone are no progress: a VM that asks for ever what it has must not keep its source alive.
    vm.request(0, 'rom');
    await vm.idle();
    vi.advanceTimersByTime(1);
    await expect(done).rejects.toThrow('the lazy restore failed: nothing moved for 5000 ms');
  });

  test('the signal is aborted, before or on the way', async () => {
    await expect(begun([1], { signal: AbortSignal.abort() }).done).rejects.toMatchObject({
      code: 'cancelled',
    });
    const abort = new AbortController();
    const { done } = await running([1], { signal: abort.signal });
    abort.abort(new DOMException('late', 'TimeoutError'));
    await expect(done).rejects.toMatchObject({ code: 'timeout', message: 'the lazy restore took too long' });
  });

  test('the caller gives up before the guest runs: it never does', async () => {
    const abort = new AbortController();
    const contents = Array.from({ length: 200 }, () => 7);
    const { vm, done } = begun(contents, { workingSet: contents.keys(), signal: abort.signal });
    await vm.idle();
    abort.abort();
    vm.read();
    await expect(done).rejects.toMatchObject({ code: 'cancelled' });
    await vm.idle();
    expect(vm.unread.length).toBeGreaterThan(4096);
    expect(vm.unread.includes(DEVICES)).toBe(false);
  });

  test('a page has not the size of one', async () => {
    const { vm, pages, done } = await running([1]);
    pages.read = () => Buffer.alloc(4095);
    vm.pong(0);
    await expect(done).rejects.toMatchObject({ code: 'internal', message: 'a page of 4095 bytes' });
  });

  test.each(['ahead', 'asked for', 'in the background'])(
    'hazard 6: a page %s cannot be verified',
    async (when) => {
      const error = new DormouseError('snapshot_corrupt', 'a flipped bit');
      const { vm, pages, done } = begun([1, 2], when === 'ahead' ? { workingSet: [0, 1] } : AT_ONCE);
      pages.beforeRead = (each) => {
        if (each === 1) throw error;
      };
      vm.read();
      await vm.idle();
      if (when === 'asked for') vm.request(1);
      else vm.pong(0);
      await expect(done).rejects.toBe(error);
      await vm.idle();
      // Neither the page, nor what would have gone with it.
      expect(vm.unread.includes(Buffer.alloc(64, 2))).toBe(false);
      expect(vm.unread.includes(Buffer.alloc(64, 1))).toBe(false);
      expect(vm.connection.destroyed).toBe(false);
    },
  );
});

describe('state and memory that do not belong together are refused:', () => {
  const source = (ramPages: number, memoryPages: number, options?: RestoreOptions) => (): PostcopySource =>
    new PostcopySource(
      new ScriptedVm().connection,
      smallStream(ramPages, ROM),
      new RamPages(Buffer.alloc(memoryPages * 4096)),
      options,
    );

  test.each([
    ['another size', source(2, 3), 'snapshot_corrupt', 'its RAM has 2 pages and the saved memory 3'],
    [
      'no such block',
      source(2, 2, { lazyBlock: 'pc.ram' }),
      'snapshot_unsupported',
      'it lacks pages of block ram',
    ],
    ['pages of the lazy block', source(2, 2, { lazyBlock: 'rom' }), 'snapshot_unsupported', 'pages of block'],
  ])('%s', (_, make, code, words) => {
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(words) }));
  });
});
