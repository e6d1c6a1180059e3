/**
 * The numbers of QEMU's migration stream (docs/devel/migration.rst, migration/savevm.c, migration/ram.c of QEMU 7.2).
 * All integers are big-endian.
 */

/** `QEVM`. */
export const FILE_MAGIC = 0x51_45_56_4d;

export const FILE_VERSION = 3;

/** The byte every section begins with. */
export const SECTION = {
  end: 0,
  start: 1,
  part: 2,
  last: 3,
  full: 4,
  subsection: 5,
  description: 6,
  configuration: 7,
  command: 8,
} as const;

/** What follows the data of a section of type 1 to 4, before the section's id again. */
export const FOOTER = 0x7e;

/** Low bits of a record's address in the section named `ram`. */
export const RECORD = {
  zero: 0x02,
  size: 0x04,
  page: 0x08,
  end: 0x10,
  sameBlock: 0x20,
} as const;

/** Commands from the source to the destination. */
export const COMMAND = {
  openReturnPath: 1,
  ping: 2,
  advise: 3,
  listen: 4,
  run: 5,
  discard: 6,
  packaged: 7,
} as const;

/** Messages from the destination to the source. */
export const RETURN = {
  shut: 1,
  pong: 2,
  requestInBlock: 3,
  request: 4,
} as const;

/** Size of a guest page. x86 has no other. */
export const PAGE_BYTES = 4096;

export const PAGE_BITS = 12;

/** Block and section names are preceded by one byte of length. */
export const MAX_NAME_BYTES = 255;

/** The capability under which shared RAM stays out of the stream and the block list carries addresses. */
export const IGNORE_SHARED = 'x-ignore-shared';
