/**
 * Every number of the guest link, version 1, as written in `guest/PROTOCOL.md`. The guest's mirror of this file is
 * `guest/src/protocol.h`; `guest/vectors/frames.json` pins the two to each other.
 */

/** The version this end speaks. */
export const PROTOCOL_VERSION = 1;

/** First 16 bytes of HELLO, host to guest. */
export const HELLO_MAGIC: Uint8Array = Uint8Array.of(
  ...[0xd0, 0x72, 0x6d, 0x6f, 0x75, 0x73, 0x65, 0x2d],
  ...[0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x0d, 0x0a, 0x1a],
);

/** First 16 bytes of WELCOME, guest to host. */
export const WELCOME_MAGIC: Uint8Array = Uint8Array.of(
  ...[0xd0, 0x72, 0x6d, 0x6f, 0x75, 0x73, 0x65, 0x2d],
  ...[0x77, 0x65, 0x6c, 0x63, 0x6d, 0x0d, 0x0a, 0x1a],
);

/** Length of HELLO and of WELCOME. */
export const GREETING_BYTES = 32;

/** Bytes of a frame before its payload. */
export const HEADER_BYTES = 12;

/** Bytes of a frame after its payload: the session's epoch. */
export const TRAILER_BYTES = 4;

/** The longest payload of any frame. */
export const MAX_PAYLOAD_BYTES = 262_144;

/** Longest DATA payload, guest to host. */
export const MAX_GUEST_DATA_BYTES = 65_536;

/** Longest DATA payload, host to guest. */
export const MAX_HOST_DATA_BYTES = 32_768;

/** 0xff bytes that complete whatever frame was cut in half and drive the guest into hunting: one longest frame. */
export const ATTACH_PADDING_BYTES: number = HEADER_BYTES + MAX_PAYLOAD_BYTES + TRAILER_BYTES;

/** Longest PING and PONG payload. */
export const MAX_PING_BYTES = 64;

/** `u16` kind and `u16` 0 before the body of a MESSAGE. */
export const MESSAGE_HEADER_BYTES = 4;

/** `u16` operation, `u16` 0 and `u32` credit before the arguments of an OPEN. */
export const OPEN_HEADER_BYTES = 8;

/** Shortest CLOSE of the guest: `u16` code, `u16` 0, `i32` errno and an empty `str`. */
export const MIN_RESULT_BYTES = 12;

/** Streams open at once. */
export const MAX_STREAMS = 1_024;

/** Credit, host to guest, with which every stream starts. */
export const INITIAL_HOST_CREDIT_BYTES = 262_144;

/** Credit counters are `u32`. */
export const MAX_CREDIT_BYTES = 0xffff_ffff;

/** Frame types. */
export const FRAME = {
  open: 1,
  data: 2,
  message: 3,
  credit: 4,
  end: 5,
  close: 6,
  ping: 7,
  pong: 8,
} as const;

/** Kinds of MESSAGE. */
export const MESSAGE = {
  started: 1,
  exited: 2,
  process: 3,
  entry: 16,
  xattr: 17,
  watching: 18,
  changed: 19,
  connected: 32,
  metrics: 54,
  info: 56,
  held: 58,
} as const;

/** DATA channels of a process. */
export const CHANNEL = { stdout: 1, stderr: 2, terminal: 3 } as const;

/** Operations an OPEN can name. */
export const OPERATION = {
  processStart: 1,
  processAttach: 2,
  processList: 3,
  processSignal: 4,
  processResize: 5,
  processInput: 6,
  fileRead: 16,
  fileWrite: 17,
  fileStat: 18,
  dirList: 19,
  dirMake: 20,
  fileRename: 21,
  fileRemove: 22,
  fileChmod: 23,
  fileChown: 24,
  fileSymlink: 25,
  xattrGet: 26,
  xattrSet: 27,
  dirWatch: 28,
  dial: 32,
  configure: 48,
  clockSet: 49,
  entropyAdd: 50,
  sync: 51,
  freeze: 52,
  thaw: 53,
  metrics: 54,
  shutdown: 55,
  info: 56,
  network: 57,
  hold: 58,
  wake: 59,
} as const;

/** PROCESS_START flags. */
export const START_FLAG = { pty: 1, stdin: 2, unlisted: 4 } as const;

/** PROCESS flags. */
export const PROCESS_FLAG = { pty: 1, inputOpen: 2 } as const;

/** FILE_WRITE flags. */
export const WRITE_FLAG = { parents: 1, append: 2, atOffset: 4 } as const;

/** FILE_READ length that means "to the end". */
export const READ_TO_END = 0xffff_ffff_ffff_ffffn;

/** SHUTDOWN kinds. */
export const SHUTDOWN_KIND = { powerOff: 0, restart: 1 } as const;
