import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const CONNECT_MS = 30_000;
const POLL_MS = 5;

/** Connects to a Unix socket that somebody is about to listen on. */
export async function connectSoon(path: string): Promise<Socket> {
  const endMs = performance.now() + CONNECT_MS;
  for (;;) {
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      // A reset is followed by `close`, which is where it is dealt with.
      socket.on('error', () => {});
      return socket;
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await delay(POLL_MS);
    }
  }
}

interface Answer {
  readonly return?: Record<string, unknown>;
  readonly error?: { readonly desc: string };
  readonly event?: string;
}

/** QEMU's control socket, as far as tests need it. */
export class QmpClient {
  readonly #socket: Socket;
  readonly #waiting: ((answer: Answer) => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    // It repeats the socket's errors, which `connectSoon` has dealt with.
    const lines = createInterface({ input: socket }).on('error', () => {});
    lines.on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      if (answer.return !== undefined || answer.error !== undefined) this.#waiting.shift()?.(answer);
    });
    socket.on('close', () => {
      for (const wake of this.#waiting.splice(0)) wake({ error: { desc: 'QEMU has ended' } });
    });
  }

  static async connect(path: string): Promise<QmpClient> {
    const client = new QmpClient(await connectSoon(path));
    await client.execute('qmp_capabilities');
    return client;
  }

  async execute(command: string, args: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const answer = await new Promise<Answer>((resolve) => {
      if (this.#socket.destroyed) resolve({ error: { desc: 'QEMU has ended' } });
      this.#waiting.push(resolve);
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
    if (answer.return === undefined) throw new Error(`${command}: ${answer.error?.desc}`);
    return answer.return;
  }

  /** Resolves when the migration has one of these states. */
  async migrationIs(...states: readonly string[]): Promise<string> {
    for (;;) {
      const { status } = await this.execute('query-migrate');
      if (states.includes(String(status))) return String(status);
      await delay(POLL_MS);
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
