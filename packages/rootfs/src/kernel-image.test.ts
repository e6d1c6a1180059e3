import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { kernelPayload, loadOrder, moduleDependencies } from './kernel-image.js';

const MAGIC = {
  lz4: Buffer.from('02214c18', 'hex'),
  zstd: Buffer.from('28b52ffd', 'hex'),
  xz: Buffer.from('fd377a58', 'hex'),
  gzip: Buffer.from('1f8b0800', 'hex'),
} as const;

/** What a made-up bzImage is like. Offsets as in Documentation/arch/x86/boot.rst. */
interface Shape {
  readonly setupSectors: number;
  readonly payloadOffset: number;
  readonly payload: Buffer;
  /** Length written into the header, where it is not the payload's. */
  readonly claimedLength?: number;
}

function bzImage({ setupSectors, payloadOffset, payload, claimedLength }: Shape): Buffer {
  const setup = Buffer.alloc(((setupSectors || 4) + 1) * 512, 0xee);
  setup[0x1f1] = setupSectors;
  setup.write('HdrS', 0x202, 'latin1');
  setup.writeUInt32LE(payloadOffset, 0x248);
  setup.writeUInt32LE(claimedLength ?? payload.length, 0x24c);
  return Buffer.concat([setup, Buffer.alloc(payloadOffset, 0xaa), payload, Buffer.from('signature')]);
}

const SIZE_TRAILER = Buffer.from([1, 2, 3, 4]);

describe('the kernel in a bzImage', () => {
  test.each(['lz4', 'zstd', 'xz', 'gzip'] as const)(
    'is found when packed by %s, without the size behind it',
    (kind) => {
      const packed = Buffer.concat([MAGIC[kind], Buffer.from('the kernel')]);
      const payload = Buffer.concat([packed, SIZE_TRAILER]);
      const found = kernelPayload(bzImage({ setupSectors: 27, payloadOffset: 723, payload }));
      expect(found.compression).toBe(kind);
      expect(Buffer.from(found.bytes)).toEqual(packed);
    },
  );

  test('is found wherever it lies, and nothing but it is answered', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 64 }),
        fc.integer({ min: 0, max: 5_000 }),
        fc.uint8Array({ maxLength: 2_000 }),
        (setupSectors, payloadOffset, content) => {
          const packed = Buffer.concat([MAGIC.lz4, content]);
          const image = bzImage({
            setupSectors,
            payloadOffset,
            payload: Buffer.concat([packed, SIZE_TRAILER]),
          });
          expect(Buffer.from(kernelPayload(image).bytes).equals(packed)).toBe(true);
        },
      ),
    );
  });

  test('zero setup sectors mean four, as kernels of old had it', () => {
    const payload = Buffer.concat([MAGIC.xz, SIZE_TRAILER]);
    expect(kernelPayload(bzImage({ setupSectors: 0, payloadOffset: 0, payload })).compression).toBe('xz');
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['a text', Buffer.from('#!/bin/sh\n'.repeat(200))],
    ['an ELF file', Buffer.concat([Buffer.from('7f454c46', 'hex'), Buffer.alloc(4_096)])],
    [
      'the first sector of one',
      bzImage({ setupSectors: 4, payloadOffset: 0, payload: MAGIC.xz }).subarray(0, 0x206),
    ],
  ])('is not looked for in %s', (_name, file) => {
    expect(() => kernelPayload(file)).toThrow(
      expect.objectContaining({ code: 'setup_failed', message: 'the kernel file is not a bzImage' }),
    );
  });

  test('a file that was cut anywhere behind its header is refused', () => {
    const payload = Buffer.concat([MAGIC.lz4, Buffer.alloc(3_000, 7), SIZE_TRAILER]);
    const whole = bzImage({ setupSectors: 4, payloadOffset: 100, payload });
    const end = whole.length - 'signature'.length;
    fc.assert(
      fc.property(fc.integer({ min: 1_024, max: end - 1 }), (length) => {
        expect(() => kernelPayload(whole.subarray(0, length))).toThrow('the kernel file is truncated');
      }),
    );
    expect(kernelPayload(whole.subarray(0, end)).compression).toBe('lz4');
  });

  test.each([0, 4, 0xffff_ffff])('a length of %i bytes is refused', (claimedLength) => {
    const image = bzImage({ setupSectors: 4, payloadOffset: 0, payload: MAGIC.lz4, claimedLength });
    expect(() => kernelPayload(image)).toThrow(
      expect.objectContaining({ code: 'setup_failed', message: 'the kernel file is truncated' }),
    );
  });

  test('a compression that is not known is named', () => {
    const payload = Buffer.from('425a683931415926', 'hex');
    expect(() => kernelPayload(bzImage({ setupSectors: 4, payloadOffset: 0, payload }))).toThrow(
      expect.objectContaining({
        code: 'setup_failed',
        message: 'the kernel is compressed in a way not known (magic 425a6839)',
      }),
    );
  });
});

describe('the dependencies of a module', () => {
  const module = (modinfo: string): Buffer =>
    Buffer.concat([
      Buffer.from('7f454c460001', 'hex'),
      Buffer.from(modinfo, 'latin1'),
      Buffer.alloc(64, 0xff),
    ]);

  test.each([
    ['several', 'license=GPL\0depends=virtio,virtio_ring\0name=virtio_mmio\0', ['virtio', 'virtio_ring']],
    ['one', 'license=GPL\0depends=net_failover\0retpoline=Y\0', ['net_failover']],
    ['none', 'license=GPL\0depends=\0name=failover\0', []],
    ['no word of them', 'license=GPL\0name=x\0', []],
    ['a word that only ends like it', 'license=GPL\0softdepends=trap\0', []],
  ])('are read where there are %s', (_name, modinfo, expected) => {
    expect(moduleDependencies(module(modinfo))).toEqual(expected);
  });

  test('of an empty file are none', () => {
    expect(moduleDependencies(Buffer.alloc(0))).toEqual([]);
  });
});

describe('the load order', () => {
  const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;
  const name = fc.constantFrom<string>(...NAMES);
  /** Any graph, circles and self-references and modules built into the kernel included. */
  const anyGraph = fc
    .dictionary(name, fc.uniqueArray(fc.oneof(name, fc.constant('built_in'))))
    .map((graph) => new Map(Object.entries(graph)));
  /** Dependencies point forward in the alphabet only, so there are no circles. */
  const graphWithoutCircles = anyGraph.map(
    (graph) =>
      new Map(
        [...graph].map(([from, to]) => [from, to.filter((need) => need > from || need === 'built_in')]),
      ),
  );

  test('puts each module behind what it depends on', () => {
    fc.assert(
      fc.property(fc.array(name), graphWithoutCircles, (wanted, graph) => {
        const order = loadOrder(wanted, graph);
        for (const [at, module] of order.entries()) {
          for (const need of graph.get(module) ?? []) {
            if (graph.has(need)) expect(order.slice(0, at)).toContain(need);
          }
        }
      }),
    );
  });

  test('has what is wanted and what that needs, each once and nothing else, circles or not', () => {
    fc.assert(
      fc.property(fc.array(name), anyGraph, (wanted, graph) => {
        const needed = new Set<string>();
        const queue = [...wanted];
        for (let module = queue.pop(); module !== undefined; module = queue.pop()) {
          if (!graph.has(module) || needed.has(module)) continue;
          needed.add(module);
          queue.push(...graph.get(module)!);
        }
        expect(loadOrder(wanted, graph).toSorted()).toEqual([...needed].toSorted());
      }),
    );
  });

  test('keeps to the order that was asked for where nothing speaks against it', () => {
    const graph = new Map([
      ['virtio_net', ['net_failover']],
      ['net_failover', ['failover']],
      ['failover', []],
      ['virtio_blk', []],
    ]);
    expect(loadOrder(['virtio_blk', 'virtio_net', 'ext4'], graph)).toEqual([
      'virtio_blk',
      'failover',
      'net_failover',
      'virtio_net',
    ]);
  });

  test('of a circle begins where it was entered', () => {
    const circle = new Map([
      ['a', ['b']],
      ['b', ['c']],
      ['c', ['a']],
    ]);
    expect(loadOrder(['a'], circle)).toEqual(['c', 'b', 'a']);
    expect(loadOrder(['x'], new Map([['x', ['x']]]))).toEqual(['x']);
  });
});
