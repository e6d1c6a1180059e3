import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Prefix of keys as they are handed out. */
const OWN_PREFIX = 'dor_';

/** Older E2B clients insist on theirs; the same hex after it is the same key. */
const E2B_PREFIX = 'e2b_';

const SECRET_BYTES = 32;
const SECRET_PATTERN = /^(?:dor_|e2b_)([0-9a-f]{64})$/;

/** Hex digits that are kept in clear, to show and to find a key by. */
const LOOKUP_DIGITS = 8;

/** What is stored of a key. */
export interface ApiKeyDigest {
  /** First 8 hex digits. */
  readonly lookup: string;
  /** SHA-256 of all 64 hex digits, as hex. */
  readonly hash: string;
}

/** A new key: the only moment the whole of it exists outside its owner's hands. */
export interface NewApiKey extends ApiKeyDigest {
  readonly key: string;
}

/** A fresh key of 256 random bits. */
export function generateApiKey(): NewApiKey {
  const hex = randomBytes(SECRET_BYTES).toString('hex');
  return { key: `${OWN_PREFIX}${hex}`, ...digest(hex) };
}

/** What to look for in the database for a presented key; undefined when it cannot be a key at all. */
export function parseApiKey(text: string): ApiKeyDigest | undefined {
  const hex = SECRET_PATTERN.exec(text)?.[1];
  return hex === undefined ? undefined : digest(hex);
}

/** Whether two SHA-256 digests in hex are equal, in a time that does not depend on where they differ. */
export function equalHashes(a: string, b: string): boolean {
  const left = Buffer.from(a, 'hex');
  const right = Buffer.from(b, 'hex');
  return left.length === 32 && right.length === 32 && timingSafeEqual(left, right);
}

/** How a key is shown after it has been handed out. */
export function displayPrefix(lookup: string): string {
  return `${OWN_PREFIX}${lookup}`;
}

/** The key as older E2B clients want it. */
export function asE2bKey(key: string): string {
  return key.replace(OWN_PREFIX, E2B_PREFIX);
}

function digest(hex: string): ApiKeyDigest {
  return {
    lookup: hex.slice(0, LOOKUP_DIGITS),
    hash: createHash('sha256').update(hex, 'ascii').digest('hex'),
  };
}
