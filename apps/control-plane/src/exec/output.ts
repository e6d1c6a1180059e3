import { isUtf8 } from 'node:buffer';
import type { Encoding } from '@dormouse/contracts';

/** Keeps the beginning of an output and counts nothing else, so memory stays bounded whatever is written. */
export class BoundedOutput {
  readonly #limit: number;
  readonly #chunks: Uint8Array[] = [];
  #size = 0;
  #truncated = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(chunk: Uint8Array): void {
    const room = this.#limit - this.#size;
    if (chunk.length > room) this.#truncated = true;
    if (room === 0) return;
    // A copy: the chunk may be a view of a much larger network buffer.
    const kept = Uint8Array.from(chunk.subarray(0, room));
    this.#chunks.push(kept);
    this.#size += kept.length;
  }

  get truncated(): boolean {
    return this.#truncated;
  }

  /** What was kept. Where it was cut, a character that was cut in half is left out. */
  bytes(): Buffer {
    const all = Buffer.concat(this.#chunks);
    return this.#truncated ? all.subarray(0, all.length - halfCharacterBytes(all)) : all;
  }
}

/** Outputs as text where all of them are, otherwise all as base64. */
export function encodeOutputs(outputs: readonly Buffer[]): { encoding: Encoding; texts: string[] } {
  const encoding = outputs.every((output) => isUtf8(output)) ? 'utf-8' : 'base64';
  return { encoding, texts: outputs.map((output) => output.toString(encoding)) };
}

/** How many bytes at the end are the beginning of a UTF-8 character whose rest is missing. */
function halfCharacterBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte >> 6 === 0b10) continue;
    const length = byte >> 5 === 0b110 ? 2 : byte >> 4 === 0b1110 ? 3 : byte >> 3 === 0b11110 ? 4 : 1;
    return length > back ? back : 0;
  }
  return 0;
}
