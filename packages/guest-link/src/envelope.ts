import { GuestError } from './guest-error.js';
import { MESSAGE_HEADER_BYTES, OPEN_HEADER_BYTES } from './protocol.js';
import { guestResultName, RESULT_OK } from './result-codes.js';
import { violation } from './violation.js';
import { WireReader } from './wire-reader.js';

/** Payload of an OPEN. `creditBytes` is what the guest may send before it gets more. */
export function encodeOpen(operation: number, creditBytes: number, args: Uint8Array): Uint8Array {
  const payload = Buffer.allocUnsafe(OPEN_HEADER_BYTES + args.length);
  payload.writeUInt16LE(operation, 0);
  payload.writeUInt16LE(0, 2);
  payload.writeUInt32LE(creditBytes, 4);
  payload.set(args, OPEN_HEADER_BYTES);
  return payload;
}

/** Payload of a CREDIT. */
export function encodeCredit(bytes: number): Uint8Array {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(bytes);
  return payload;
}

/** A MESSAGE taken apart. */
export interface Message {
  readonly kind: number;
  /** A view of the frame's payload. */
  readonly body: Uint8Array;
}

/** @throws DormouseError `guest_protocol` */
export function decodeMessage(payload: Uint8Array): Message {
  const reader = new WireReader(payload, 'MESSAGE');
  const kind = reader.u16();
  reader.reserved16();
  return { kind, body: payload.subarray(MESSAGE_HEADER_BYTES) };
}

/**
 * The guest's CLOSE: undefined for ok, else the error it stands for.
 *
 * @throws DormouseError `guest_protocol`
 */
export function decodeResult(payload: Uint8Array): GuestError | undefined {
  const reader = new WireReader(payload, 'CLOSE');
  const number = reader.u16();
  reader.reserved16();
  const errno = reader.i32();
  const message = reader.text();
  reader.done();
  if (number === RESULT_OK) return undefined;
  const result = guestResultName(number);
  if (result === undefined) throw violation(`result code ${number} does not exist`);
  return new GuestError(result, message, errno);
}

/** More than a guest agent ever sends; the rest, from a hostile guest, is cut. */
const MAX_WARNINGS = 16;
const MAX_WARNING_LENGTH = 400;

/** The warnings of a CLOSE that says ok: things the operation has left out, a line each. */
export function decodeWarnings(payload: Uint8Array): readonly string[] {
  const reader = new WireReader(payload, 'CLOSE');
  reader.u16();
  reader.reserved16();
  reader.i32();
  const lines = reader.text().split('\n', MAX_WARNINGS);
  return lines.filter((line) => line !== '').map((line) => line.slice(0, MAX_WARNING_LENGTH));
}
