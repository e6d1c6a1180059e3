import { randomInt } from 'node:crypto';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
const RANDOM_CHARACTERS = 20;

/** A new sandbox id: `sb` and 20 random characters, 103 bits. */
export function newSandboxId(): string {
  return newId('sb');
}

/** A new snapshot id: `sn` and 20 random characters. */
export function newSnapshotId(): string {
  return newId('sn');
}

/** A new project id: `pj` and 20 random characters. */
export function newProjectId(): string {
  return newId('pj');
}

/** A new id of a template's build: `tb` and 20 random characters. */
export function newBuildId(): string {
  return newId('tb');
}

/** A new id of a ping, which is no event of the team: `ping_` and 20 random characters. */
export function newPingId(): string {
  return newId('ping_');
}

function newId(prefix: string): string {
  let id = prefix;
  for (let i = 0; i < RANDOM_CHARACTERS; i++) id += ALPHABET[randomInt(ALPHABET.length)];
  return id;
}
