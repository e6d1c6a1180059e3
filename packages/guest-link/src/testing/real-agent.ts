import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.js';
import { type ConnectOptions, GuestLink } from '../guest-link.js';
import type { GuestProcess } from '../guest-process.js';
import type { ProcessExit } from '../process-codec.js';

const GUEST_FOLDER = fileURLToPath(new URL('../../../../guest', import.meta.url));

/** How long an agent may take to answer on its socket. */
const START_MS = 20_000;

const SIGKILL = 9;

/** Of util-linux, not of any package. */
const UNSHARE = 'unshare';

/** The agent's tests need root: the agent acts for other users. */
export const canRunAgent: boolean = process.getuid?.() === 0;

/** Builds the agent when it is out of date; the lock keeps test files from building side by side. */
function agentBinary(): string {
  const given = process.env.DORMOUSE_GUEST_AGENT;
  if (given !== undefined) return given;
  const made = spawnSync('flock', [join(GUEST_FOLDER, 'Makefile'), 'make', '-C', GUEST_FOLDER], {
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(`the agent cannot be built:\n${made.stdout}${made.stderr}`);
  return join(GUEST_FOLDER, 'build/dormouse-guest');
}

/**
 * The real agent as an ordinary process, in user and host-name namespaces of its own: it is root over files, users and
 * processes, and whatever it were to do by mistake, the kernel refuses it what would change the machine of the test
 * (clock, frozen file systems, network).
 */
export class RealAgent implements AsyncDisposable {
  /** A folder for the test's files, removed at the end. */
  readonly folder: string;
  readonly #child: ChildProcess;
  readonly #socket: string;
  readonly #links: GuestLink[] = [];

  private constructor(folder: string, child: ChildProcess) {
    this.folder = folder;
    this.#child = child;
    this.#socket = join(folder, 'agent.sock');
  }

  /** @param namespaces more of them, by the options of unshare(1) */
  static async start(namespaces: readonly string[] = []): Promise<RealAgent> {
    const folder = mkdtempSync(join(tmpdir(), 'guest-link-'));
    const script = 'read go; exec "$0" --socket "$1"';
    const child = spawn(
      UNSHARE,
      ['--user', '--uts', ...namespaces, 'sh', '-c', script, agentBinary(), join(folder, 'agent.sock')],
      { stdio: ['pipe', 'ignore', 'inherit'] },
    );
    const agent = new RealAgent(folder, child);
    const ours = readlinkSync('/proc/self/ns/user');
    await until('the namespaces', () => readlinkSync(`/proc/${child.pid}/ns/user`) !== ours);
    for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${map}`, '0 0 65536');
    child.stdin?.end('go\n');
    await until('the agent', () => agent.#listens());
    return agent;
  }

  /** A file's path in the test's folder. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** A new session. */
  async connect(options: Partial<ConnectOptions> = {}): Promise<Guest> {
    const link = await GuestLink.connect(this.#socket, { attach: true, ...options });
    this.#links.push(link);
    return new Guest(link);
  }

  /** A connection without a greeting, to send it anything. */
  async connectRaw(): Promise<ReturnType<typeof connect>> {
    const socket = connect(this.#socket);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  /** Ends every process the agent knows, the agent and the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit');
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const guest = await this.connect();
      for (const { pid, running } of await guest.listProcesses()) {
        if (running) await guest.signalProcess(pid, SIGKILL).catch(() => {});
      }
      for (const link of this.#links) await link.close();
      this.#child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Resolves when the agent has ended. */
  async ended(): Promise<void> {
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
  }

  async #listens(): Promise<boolean> {
    const socket = connect(this.#socket);
    try {
      await once(socket, 'connect');
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }
}

/** Everything a process says, and how it ends. */
export async function outcome(
  guestProcess: GuestProcess,
): Promise<{ stdout: Buffer; stderr: Buffer; terminal: Buffer; exit: ProcessExit }> {
  const channels = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[], terminal: [] as Uint8Array[] };
  for await (const { channel, data } of guestProcess.output) channels[channel].push(data);
  return {
    stdout: Buffer.concat(channels.stdout),
    stderr: Buffer.concat(channels.stderr),
    terminal: Buffer.concat(channels.terminal),
    exit: await guestProcess.exit,
  };
}

/** Reads a process's output piece by piece, up to something that is awaited. */
export class OutputReader {
  readonly #output: AsyncIterator<{ readonly data: Uint8Array }>;
  #text = '';

  constructor(guestProcess: GuestProcess) {
    this.#output = guestProcess.output[Symbol.asyncIterator]();
  }

  /** What came up to and including the awaited text. */
  async until(awaited: string): Promise<string> {
    for (;;) {
      const at = this.#text.indexOf(awaited);
      if (at !== -1) {
        const found = this.#text.slice(0, at + awaited.length);
        this.#text = this.#text.slice(found.length);
        return found;
      }
      const next = await this.#output.next();
      if (next.done === true) throw new Error(`the output ended without ${awaited}: ${this.#text}`);
      this.#text += Buffer.from(next.value.data).toString('latin1');
    }
  }
}

/** Waits until something holds, for what tells nobody when it happens. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + START_MS;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`waited too long for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
