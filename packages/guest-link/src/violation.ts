import { DormouseError } from '@dormouse/errors';

/** The error that ends a session: the guest sent what `guest/PROTOCOL.md` does not allow. */
export function violation(what: string): DormouseError {
  return new DormouseError('guest_protocol', `the guest broke the protocol: ${what}`);
}
