import { type RunOptions, type RunResult, run } from './run.js';
import { assetsDir, DORMOUSE, type Stack } from './stack.js';

/** Commands that are clients of the API and nothing else. */
const CLIENTS: readonly (string | undefined)[] = ['sandbox', 'snapshot', 'project', 'template'];

/** `./dormouse` as somebody uses it on the machine of a stack. */
export class CommandLine {
  /** Where it finds the running `up`. */
  readonly env: Readonly<Record<string, string | undefined>>;

  readonly #second: Readonly<Record<string, string>> | undefined;
  #runs = 0;

  constructor(stack: Stack) {
    const { secondApiUrl, apiKey } = stack;
    this.#second =
      secondApiUrl === undefined ? undefined : { DORMOUSE_API_URL: secondApiUrl, DORMOUSE_API_KEY: apiKey };
    this.env = {
      DORMOUSE_DATA: stack.dataDir,
      DORMOUSE_ASSETS_DIR: assetsDir(),
      DORMOUSE_API_URL: undefined,
      DORMOUSE_API_KEY: undefined,
    };
  }

  /** Runs a command, whatever comes of it. */
  run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(DORMOUSE, args, { ...options, env: { ...this.env, ...this.#turn(args), ...options.env } });
  }

  /** With two control planes every other client asks the second one. */
  #turn([name]: readonly string[]): Readonly<Record<string, string>> {
    if (this.#second === undefined || !CLIENTS.includes(name)) return {};
    this.#runs += 1;
    return this.#runs % 2 === 0 ? this.#second : {};
  }

  /** Runs a command that must succeed, and answers its output. */
  async say(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`dormouse ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  /** Runs a command that must succeed with --json, and answers what it said. */
  async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.say(...args, '--json')) as T;
  }
}
