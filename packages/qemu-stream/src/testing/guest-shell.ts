import type { Socket } from 'node:net';
import { connectSoon } from './qmp-client.js';

/** The shell in the test guest, over its virtio-serial port. */
export class GuestShell {
  readonly #socket: Socket;
  #said = '';
  #wake: () => void = () => {};
  #closed = false;
  #commands = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString('latin1');
      this.#wake();
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  static async connect(path: string): Promise<GuestShell> {
    return new GuestShell(await connectSoon(path));
  }

  /** Resolves when the guest is up. */
  async ready(): Promise<void> {
    await this.#until('ready\n');
  }

  /** Runs a line of shell script and answers what it printed. */
  async run(script: string): Promise<string> {
    const mark = `done-${++this.#commands}\n`;
    this.#socket.write(`{ ${script}; } </dev/null 2>&1; echo done-${this.#commands}\n`);
    return (await this.#until(mark)).trim();
  }

  async #until(mark: string): Promise<string> {
    for (;;) {
      const at = this.#said.indexOf(mark);
      if (at !== -1) {
        const found = this.#said.slice(0, at);
        this.#said = this.#said.slice(at + mark.length);
        return found;
      }
      if (this.#closed) throw new Error(`the guest is gone; it said: ${this.#said}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
