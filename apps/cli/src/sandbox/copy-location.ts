import { DormouseError } from '@dormouse/errors';

/** One side of a copy. */
export type CopyLocation =
  | { readonly kind: 'sandbox'; readonly id: string; readonly path: string }
  | { readonly kind: 'local'; readonly path: string }
  /** stdin as the source, stdout as the destination */
  | { readonly kind: 'stream' };

/** `ID:PATH` is in a sandbox, `-` is stdin or stdout, everything else is local (also `./sb…:x`). */
export function parseLocation(text: string): CopyLocation {
  if (text === '-') return { kind: 'stream' };
  const match = /^(sb[a-z0-9]{20}):(.*)$/s.exec(text);
  if (match?.[1] === undefined) return { kind: 'local', path: text };
  // No path is the user's home, as with scp.
  return { kind: 'sandbox', id: match[1], path: match[2] === '' ? '.' : (match[2] ?? '.') };
}

/** What to copy, in which direction. */
export type CopyPlan =
  | {
      readonly direction: 'upload';
      readonly from: Exclude<CopyLocation, { kind: 'sandbox' }>;
      readonly to: Extract<CopyLocation, { kind: 'sandbox' }>;
    }
  | {
      readonly direction: 'download';
      readonly from: Extract<CopyLocation, { kind: 'sandbox' }>;
      readonly to: Exclude<CopyLocation, { kind: 'sandbox' }>;
    };

/** @throws DormouseError `invalid_request` unless exactly one side is in a sandbox */
export function planCopy(source: string, destination: string): CopyPlan {
  const from = parseLocation(source);
  const to = parseLocation(destination);
  if (from.kind === 'sandbox' && to.kind !== 'sandbox') return { direction: 'download', from, to };
  if (from.kind !== 'sandbox' && to.kind === 'sandbox') return { direction: 'upload', from, to };
  const what = from.kind === 'sandbox' ? 'both sides are' : 'no side is';
  throw new DormouseError('invalid_request', `${what} in a sandbox`, {
    suggestion: 'Write one side as ID:PATH, such as sb4f9k2m7q1x8c3v6b0n5z:/tmp/data.bin',
  });
}
