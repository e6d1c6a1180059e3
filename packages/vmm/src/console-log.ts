import { type FileHandle, open, rename } from 'node:fs/promises';
import type { Socket } from 'node:net';

/** A guest can print for ever; the log keeps between one and two of these. */
const ROTATE_BYTES = 512 * 1024;

/**
 * Writes what a guest prints on its console to a file of bounded size: at ROTATE_BYTES the file becomes `PATH.1`
 * and a new one begins. Reading from the socket goes on only as fast as the disk takes it.
 */
export class ConsoleLog {
  /** Resolves when the connection, or the log, has ended. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  #path: string;

  constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    this.ended = this.#keep();
  }

  /** Writes what comes from now on to another file. */
  moveTo(path: string): void {
    this.#path = path;
  }

  async #keep(): Promise<void> {
    let file: FileHandle | undefined;
    try {
      let path = this.#path;
      file = await open(path, 'a', 0o600);
      let size = (await file.stat()).size;
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        const isMoved = path !== this.#path;
        if (isMoved || size > ROTATE_BYTES) {
          await file.close();
          file = undefined;
          if (!isMoved) await rename(path, `${path}.1`);
          path = this.#path;
          file = await open(path, 'a', 0o600);
          size = (await file.stat()).size;
        }
        await file.write(chunk);
        size += chunk.length;
      }
    } catch {
      // The VM has gone, or its directory is being removed: the log ends here.
      this.#socket.destroy();
    } finally {
      await file?.close().catch(() => {});
    }
  }
}

/** The newest `maxBytes` of a console log, across its rotation. */
export async function readConsoleLog(path: string, maxBytes: number): Promise<Buffer> {
  const newest = await readTail(path, maxBytes);
  if (newest.length >= maxBytes) return newest;
  const older = await readTail(`${path}.1`, maxBytes - newest.length);
  return Buffer.concat([older, newest]);
}

async function readTail(path: string, maxBytes: number): Promise<Buffer> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(size, maxBytes);
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
