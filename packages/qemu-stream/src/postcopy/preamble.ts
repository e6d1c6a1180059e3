import { COMMAND, FILE_MAGIC, FILE_VERSION, FOOTER, PAGE_BYTES, RECORD, SECTION } from '../protocol.js';
import { encodeConfiguration } from '../saved/configuration.js';
import type { RamSection } from '../saved/ram-section.js';
import type { SavedStream } from '../saved/saved-stream.js';

const TWO_TO_32 = 2 ** 32;

/** Version of the discard command's layout. */
const DISCARD_VERSION = 0;

/**
 * What comes before the first page: header, configuration, return path, advice, block list, and the discard of the
 * whole lazily restored block.
 *
 * Without the discard QEMU refuses to run (`CMD_POSTCOPY_RUN in wrong postcopy state`), and pages sent before it would
 * land in huge pages whose other parts count as present. The block list carries no addresses: QEMU reads those under
 * `x-ignore-shared` only, which a destination of a post-copy migration has not.
 */
export function encodePreamble(saved: SavedStream, lazyBlock: string, lazyBytes: number): Buffer {
  return Buffer.concat([
    u32(FILE_MAGIC),
    u32(FILE_VERSION),
    encodeConfiguration(saved.configuration),
    command(COMMAND.openReturnPath),
    // The sizes of the host's pages (all blocks', or-ed) and of the guest's.
    command(COMMAND.advise, u64(PAGE_BYTES), u64(PAGE_BYTES)),
    encodeBlockList(saved.ram),
    command(COMMAND.discard, u8(DISCARD_VERSION), name(lazyBlock), u8(0), u64(0), u64(lazyBytes)),
  ]);
}

function encodeBlockList(ram: RamSection): Buffer {
  const totalBytes = ram.blocks.reduce((sum, block) => sum + block.lengthBytes, 0);
  return Buffer.concat([
    u8(SECTION.start),
    u32(ram.id),
    name('ram'),
    u32(ram.instance),
    u32(ram.version),
    u64(totalBytes + RECORD.size),
    ...ram.blocks.flatMap((block) => [name(block.name), u64(block.lengthBytes)]),
    u64(RECORD.end),
    u8(FOOTER),
    u32(ram.id),
  ]);
}

/**
 * The device state in one piece, between the command that opens memory for requests and the one that starts the guest.
 * QEMU reads it whole before it begins, so page requests of the devices themselves can be answered meanwhile.
 *
 * @param loadedPing comes back as a pong when all devices are loaded, right before the guest runs
 */
export function encodePackage(devices: Uint8Array, loadedPing: number): Buffer {
  const parts = [command(COMMAND.listen), devices, encodePing(loadedPing), command(COMMAND.run)];
  const lengthBytes = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([command(COMMAND.packaged, u32(lengthBytes)), ...parts]);
}

/** A command that QEMU answers with the same number once it has read everything before it. */
export function encodePing(value: number): Buffer {
  return command(COMMAND.ping, u32(value));
}

/** The end of the RAM section and of the stream. */
export function encodeEnd(ram: RamSection): Buffer {
  return Buffer.concat([
    u8(SECTION.last),
    u32(ram.id),
    u64(RECORD.end),
    u8(FOOTER),
    u32(ram.id),
    u8(SECTION.end),
  ]);
}

function command(code: number, ...data: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(data);
  return Buffer.concat([u8(SECTION.command), u16(code), u16(body.length), body]);
}

function u8(value: number): Buffer {
  return Buffer.from([value]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(Math.floor(value / TWO_TO_32), 0);
  bytes.writeUInt32BE(value % TWO_TO_32, 4);
  return bytes;
}

function name(text: string): Buffer {
  return Buffer.concat([u8(text.length), Buffer.from(text, 'latin1')]);
}
