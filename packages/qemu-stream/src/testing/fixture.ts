import { readFileSync } from 'node:fs';
import type { SavedStream } from '../saved/saved-stream.js';

/** A stream recorded from QEMU. `recordings.vm.test.ts` makes them anew. */
export function recordedStream(name: 'plain' | 'devices'): Buffer {
  return readFileSync(new URL(`fixtures/${name}.bin`, import.meta.url));
}

/** Bytes written down as hexadecimal words. */
export function hex(...words: readonly string[]): Buffer {
  return Buffer.from(words.join('').replaceAll(' ', ''), 'hex');
}

/** Device state that only has to be passed on. */
export const DEVICES: Buffer = hex(
  '04',
  '00000005',
  '03 617069',
  '00000000',
  '00000001',
  'aabb',
  '7e 00000005',
);

/** A small VM: lazily restored RAM of some pages, and one ROM page. */
export function smallStream(ramPages: number, romContent: Uint8Array): SavedStream {
  return {
    configuration: { machine: 'microvm', capabilities: ['x-ignore-shared'], otherSubsections: [] },
    ram: {
      id: 2,
      instance: 0,
      version: 4,
      blocks: [
        { name: 'ram', lengthBytes: ramPages * 4096, address: 0 },
        { name: 'rom', lengthBytes: 8192, address: 0xffff_0000 },
      ],
      pages: [
        { block: 'rom', offsetBytes: 0, content: romContent },
        { block: 'rom', offsetBytes: 4096 },
      ],
    },
    devices: DEVICES,
  };
}

/** Memory whose page `n` is filled with the byte `contents[n]`. */
export function ramOf(...contents: readonly number[]): Buffer {
  return Buffer.concat(contents.map((value) => Buffer.alloc(4096, value)));
}
