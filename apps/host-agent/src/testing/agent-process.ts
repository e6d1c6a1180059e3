import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectHost, type HostClient } from '@dormouse/host-api';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** What is there of an agent's sandboxes, seen from outside. */
export interface Presence {
  /** Pids of VM processes. */
  readonly processes: readonly number[];
  readonly sandboxes: readonly string[];
  readonly memory: readonly string[];
}

/** What a host without sandboxes has. */
export const NOTHING: Presence = { processes: [], sandboxes: [], memory: [] };

/** How an agent process ended. */
export interface AgentExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** What it wrote on standard error. */
  readonly log: string;
}

/** The host agent as a process of its own, with directories of its own, all gone when disposed. */
export interface AgentHost extends AsyncDisposable {
  readonly dataDir: string;
  readonly socketPath: string;
  /** Client of the agent that runs now. */
  readonly client: HostClient['host'];
  /** Pid of the agent that runs now. */
  readonly pid: number;
  /** Starts the agent and waits until it is ready. */
  start(): Promise<void>;
  /** Sends the agent a signal and waits for its end. */
  end(signal: NodeJS.Signals): Promise<AgentExit>;
  presence(): Promise<Presence>;
  /** The rules that keep this host's guests away from it; undefined without. */
  guardRules(): string | undefined;
}

interface Running {
  readonly child: ChildProcess;
  readonly client: HostClient;
  readonly closed: Promise<AgentExit>;
}

/** The environment of an agent that keeps everything below `dataDir`, guest memory apart. */
function environmentOf(dataDir: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    DORMOUSE_DATA: dataDir,
    DORMOUSE_SHM_DIR: join('/dev/shm', basename(dataDir)),
    DORMOUSE_LOG_LEVEL: 'info',
    DORMOUSE_FREEZE_TEMPLATE: '',
    DORMOUSE_STANDBYS: '0',
    DORMOUSE_READY_SANDBOXES: '0',
  };
}

/**
 * Starts a host agent on empty directories, with the assets of DORMOUSE_ASSETS_DIR.
 *
 * @param environment what it is told besides
 */
export async function agentHost(environment: NodeJS.ProcessEnv = {}): Promise<AgentHost> {
  const dataDir = await mkdtemp(join(tmpdir(), 'dormouse-'));
  await chmod(dataDir, 0o711);
  const host = new AgentProcess(dataDir, environment);
  await host.start();
  return host;
}

/** Runs the agent's program to its end, for when it refuses to start. */
export async function runAgent(environment: NodeJS.ProcessEnv): Promise<AgentExit> {
  const child = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...environment },
  });
  return await exitOf(child);
}

class AgentProcess implements AgentHost {
  readonly dataDir: string;
  readonly socketPath: string;
  readonly #environment: NodeJS.ProcessEnv;
  #running: Running | undefined;

  constructor(dataDir: string, environment: NodeJS.ProcessEnv) {
    this.dataDir = dataDir;
    this.#environment = environment;
    this.socketPath = join(dataDir, 'host-agent.sock');
  }

  get client(): HostClient['host'] {
    return this.#current().client.host;
  }

  get pid(): number {
    return this.#current().child.pid!;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [MAIN], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...environmentOf(this.dataDir), ...this.#environment },
    });
    const closed = exitOf(child);
    const ready = once(createInterface({ input: child.stdout! }), 'line') as Promise<[string]>;
    const [line] = await Promise.race([
      ready,
      closed.then(({ log }): never => {
        throw new Error(`the agent did not start: ${log}`);
      }),
    ]);
    const { ready: isReady, socket } = JSON.parse(line) as { ready?: unknown; socket?: unknown };
    if (isReady !== true || socket !== this.socketPath) throw new Error(`not ready: ${line}`);
    this.#running = { child, closed, client: connectHost(this.socketPath) };
  }

  async end(signal: NodeJS.Signals): Promise<AgentExit> {
    const { child, client, closed } = this.#current();
    this.#running = undefined;
    child.kill(signal);
    const exit = await closed;
    client.close();
    return exit;
  }

  async presence(): Promise<Presence> {
    const memory = await readdir(environmentOf(this.dataDir).DORMOUSE_SHM_DIR!, {
      recursive: true,
      withFileTypes: true,
    });
    return {
      processes: await processesNaming(`path=${this.dataDir}/`),
      sandboxes: (await readdir(join(this.dataDir, 'sandboxes'))).toSorted(),
      memory: memory
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name)
        .toSorted(),
    };
  }

  guardRules(): string | undefined {
    const table = `dormouse_${createHash('sha256').update(this.dataDir).digest('hex').slice(0, 8)}`;
    const { status, stdout } = spawnSync('nft', ['list', 'table', 'inet', table], { encoding: 'utf8' });
    return status === 0 ? stdout : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running === undefined) await this.start();
    const { sandboxes } = await this.client.listSandboxes({});
    await Promise.all(sandboxes.map(({ id }) => this.client.destroySandbox({ id })));
    await this.end('SIGTERM');
    await rm(environmentOf(this.dataDir).DORMOUSE_SHM_DIR!, { recursive: true, force: true });
    await rm(this.dataDir, { recursive: true, force: true });
  }

  #current(): Running {
    if (this.#running === undefined) throw new Error('no agent runs');
    return this.#running;
  }
}

async function exitOf(child: ChildProcess): Promise<AgentExit> {
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
    log += chunk;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, log };
}

async function processesNaming(words: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (commandLine.includes(words)) found.push(Number(pid));
  }
  return found;
}
