import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

const TIMEOUT_MS = 120_000;

/** A program in a terminal of its own, driven as by somebody who types and looks. */
export class Terminal implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown[]>;
  #screen = '';
  #look: () => void = () => {};

  /** @param command a shell command line */
  constructor(command: string, env: Readonly<Record<string, string | undefined>>) {
    this.#child = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    this.#ended = once(this.#child, 'close');
    this.#child.stdin?.on('error', () => {});
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#screen += text;
      this.#look();
    });
  }

  /** Everything it has shown. */
  get screen(): string {
    return this.#screen;
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until it shows something that fits, and answers the match. */
  see(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const match = pattern.exec(this.#screen);
        if (match) resolve(match);
      };
      this.#look();
      void this.#ended.then(() => reject(new Error(`it never showed ${pattern}: ${this.#screen}`)));
    });
  }

  /** Waits for its end and answers its exit code. */
  async exitCode(): Promise<number | null> {
    const [code] = await this.#ended;
    return code as number | null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
