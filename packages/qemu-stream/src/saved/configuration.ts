import { corrupt, unsupported } from '../errors.js';
import { IGNORE_SHARED, PAGE_BITS, SECTION } from '../protocol.js';
import type { ByteReader } from './byte-reader.js';

/** What the configuration section tells. */
export interface Configuration {
  readonly machine: string;
  readonly capabilities: readonly string[];
  /** Bytes of the subsections that are no capabilities, as they were read. */
  readonly otherSubsections: readonly Uint8Array[];
}

const CAPABILITIES = 'configuration/capabilities';
const SUBSECTION_VERSION = 1;
const UUID_BYTES = 16;

/** Reads from the section's type byte to its last subsection. */
export function readConfiguration(reader: ByteReader, bytes: Uint8Array): Configuration {
  if (reader.u8() !== SECTION.configuration) throw unsupported('it has no configuration section');
  const machine = Buffer.from(reader.take(reader.u32())).toString('latin1');
  const capabilities: string[] = [];
  const otherSubsections: Uint8Array[] = [];
  while (reader.peek() === SECTION.subsection) {
    const from = reader.position;
    reader.u8();
    const name = reader.name();
    if (reader.u32() !== SUBSECTION_VERSION) throw unsupported(`another version of ${name}`);
    switch (name) {
      case CAPABILITIES: {
        for (let left = reader.u32(); left > 0; left--) capabilities.push(reader.name());
        break;
      }
      case 'configuration/target-page-bits':
        if (reader.u32() !== PAGE_BITS) throw unsupported('its pages are not of 4 KiB');
        otherSubsections.push(bytes.subarray(from, reader.position));
        break;
      case 'configuration/uuid':
        reader.take(UUID_BYTES);
        otherSubsections.push(bytes.subarray(from, reader.position));
        break;
      default:
        throw unsupported(`it has an unknown ${name}`);
    }
  }
  if (machine === '') throw corrupt('its machine has no name');
  return { machine, capabilities, otherSubsections };
}

/**
 * The section for a destination that restores by post-copy.
 *
 * `x-ignore-shared` is left out of it: QEMU compares it with its own capabilities, and refuses to have it together with
 * `postcopy-ram` ("Postcopy is not compatible with ignore-shared"). When nothing else is in the subsection it goes, too:
 * QEMU, likewise, writes none when there is nothing to say.
 */
export function encodeConfiguration(configuration: Configuration): Buffer {
  const machine = Buffer.from(configuration.machine, 'latin1');
  const capabilities = configuration.capabilities.filter((name) => name !== IGNORE_SHARED);
  return Buffer.concat([
    Buffer.from([SECTION.configuration]),
    u32(machine.length),
    machine,
    ...(capabilities.length === 0
      ? []
      : [
          Buffer.from([SECTION.subsection]),
          name(CAPABILITIES),
          u32(SUBSECTION_VERSION),
          u32(capabilities.length),
          ...capabilities.map(name),
        ]),
    ...configuration.otherSubsections,
  ]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function name(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'latin1')]);
}
