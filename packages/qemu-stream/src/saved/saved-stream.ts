import { corrupt, unsupported } from '../errors.js';
import { FILE_MAGIC, FILE_VERSION, FOOTER, IGNORE_SHARED, PAGE_BYTES, SECTION } from '../protocol.js';
import { ByteReader } from './byte-reader.js';
import { type Configuration, readConfiguration } from './configuration.js';
import { type RamSection, readRamSection } from './ram-section.js';

/** What QEMU sends for `migrate` with `x-ignore-shared`, taken apart. Everything in it are views of the stream. */
export interface SavedStream {
  readonly configuration: Configuration;
  readonly ram: RamSection;
  /** All device sections as they came. Only QEMU knows where one ends. */
  readonly devices: Uint8Array;
}

/** Bytes before the JSON description: the end of the sections, the type, the length. */
const DESCRIPTION_HEAD_BYTES = 6;

/** Type, id, length of the name, instance, version, footer: no device section is shorter. */
const MIN_DEVICE_BYTES = 19;

/**
 * Takes a saved stream apart. Nothing is copied but the few numbers and names.
 *
 * @throws DormouseError `snapshot_corrupt` when it is truncated or makes no sense, `snapshot_unsupported` when it comes
 *   from a version of QEMU, or from settings, that cannot be replayed
 */
export function parseSavedStream(bytes: Uint8Array): SavedStream {
  const reader = new ByteReader(bytes);
  if (reader.u32() !== FILE_MAGIC) throw corrupt('it does not begin as one');
  const version = reader.u32();
  if (version !== FILE_VERSION) throw unsupported(`it has version ${version}, not ${FILE_VERSION}`);
  const configuration = readConfiguration(reader, bytes);
  if (!configuration.capabilities.includes(IGNORE_SHARED)) {
    throw unsupported(`it was saved without ${IGNORE_SHARED}`);
  }
  const ram = readRamSection(reader);
  const devices = bytes.subarray(reader.position, endOfDevices(bytes, reader.position));
  checkDevices(devices);
  return { configuration, ram, devices };
}

/** Finds the end byte after the devices: from behind, because the length of device data is in no place. */
function endOfDevices(bytes: Uint8Array, from: number): number {
  const last = bytes.length - 1;
  // A machine with `suppress-vmdesc=on` writes no description; with one, the last byte is that of its JSON.
  if (last >= from && bytes[last] === SECTION.end) return last;
  // JSON holds no zero byte, so the last one is that before the type or one of the length's.
  const lastZero = bytes.lastIndexOf(0);
  for (let end = Math.max(from, lastZero - DESCRIPTION_HEAD_BYTES); end <= lastZero; end++) {
    if (isDescription(bytes, end)) return end;
  }
  throw corrupt('it has no end');
}

function isDescription(bytes: Uint8Array, end: number): boolean {
  const head = bytes.subarray(end, end + DESCRIPTION_HEAD_BYTES);
  if (head.length < DESCRIPTION_HEAD_BYTES) return false;
  if (head[0] !== SECTION.end || head[1] !== SECTION.description) return false;
  const length = new DataView(head.buffer, head.byteOffset).getUint32(2);
  if (length !== bytes.length - end - DESCRIPTION_HEAD_BYTES) return false;
  return describesPages(bytes.subarray(end + DESCRIPTION_HEAD_BYTES));
}

/** Whether this is the JSON that QEMU puts behind the sections, which tells the size of a page. */
function describesPages(bytes: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return (
      typeof value === 'object' && value !== null && 'page_size' in value && value.page_size === PAGE_BYTES
    );
  } catch {
    return false;
  }
}

/** What can be told of bytes that only QEMU understands: how they begin and how they end. */
function checkDevices(devices: Uint8Array): void {
  if (devices.length < MIN_DEVICE_BYTES) throw corrupt('it has no devices');
  if (devices[0] !== SECTION.full) throw unsupported(`a section of type ${devices[0]} among the devices`);
  if (devices[devices.length - 5] !== FOOTER) throw corrupt('its last device has no footer');
}
