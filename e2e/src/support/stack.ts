import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@dormouse/sdk';
import {
  alternatingFetch,
  startSecondControlPlane,
  wantsSecondControlPlane,
} from './second-control-plane.js';

/** The checkout that is tested. */
export const REPOSITORY: string = fileURLToPath(new URL('../../../', import.meta.url));
/** The one entry point. */
export const DORMOUSE: string = join(REPOSITORY, 'dormouse');
/** A stack that starts from prepared assets is up in seconds; this is for a machine that does five things at once. */
const START_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 120_000;

/** A whole Dormouse, started as a user starts it, on ports and a data directory of its own. */
export interface Stack extends AsyncDisposable {
  readonly apiUrl: string;
  readonly apiKey: string;
  readonly dataDir: string;
  /** With two control planes its requests go to either in turn. */
  readonly client: Client;
  /** Of the second control plane, where there is one: see CONTRIBUTING.md. */
  readonly secondApiUrl: string | undefined;
  /** Process id of `dormouse up`. */
  readonly pid: number;
  /** What it wrote on standard error so far. */
  log(): string;
  /** Stops it with SIGTERM, or as told, and answers the exit code; the data directory stays. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Stops it and removes the data directory. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How to start a stack. */
export interface StackOptions {
  /** An existing data directory to start on again; default: a fresh one. */
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Directory with kernel and templates that all stacks share. */
export function assetsDir(): string {
  return process.env.DORMOUSE_ASSETS_DIR ?? join(REPOSITORY, '.dormouse', 'assets');
}

/** Starts `./dormouse up --json` and waits until it says that it is ready. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const dataDir = options.dataDir ?? (await freshDataDir());
  const temporaryDir = temporaryDirOf(dataDir);
  await mkdir(temporaryDir, { recursive: true, mode: 0o777 });
  const [apiPort, edgePort] = [await freePort(), await freePort()];
  const child = spawn(
    DORMOUSE,
    ['up', '--json', '--yes', '--data', dataDir, '--api-port', `${apiPort}`, '--edge-port', `${edgePort}`],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        DORMOUSE_ASSETS_DIR: assetsDir(),
        TMPDIR: temporaryDir,
        // What waits for somebody to want a sandbox belongs to none.
        DORMOUSE_STANDBYS: '0',
        DORMOUSE_READY_SANDBOXES: '0',
        ...options.env,
      },
    },
  );
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    errors += chunk;
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const clear = async (): Promise<void> => {
    for (const dir of [dataDir, temporaryDir, guestMemoryDirOf(dataDir)]) {
      await rm(dir, { recursive: true, force: true });
    }
  };
  const ready = await firstLine(child, () => errors).catch(async (error: unknown) => {
    await exited;
    if (options.dataDir === undefined) await clear();
    throw error;
  });
  const { apiUrl, apiKey } = JSON.parse(ready) as { apiUrl: string; apiKey: string };
  const second = wantsSecondControlPlane()
    ? await startSecondControlPlane(REPOSITORY, child.pid!).catch(async (error: unknown) => {
        child.kill('SIGTERM');
        await exited;
        throw error;
      })
    : undefined;
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    await second?.stop();
    child.kill(signal);
    const hard = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const code = await exited;
    clearTimeout(hard);
    return code;
  };
  return {
    apiUrl,
    apiKey,
    dataDir,
    client: new Client({
      apiUrl,
      apiKey,
      ...(second === undefined ? {} : { fetch: alternatingFetch([apiUrl, second.apiUrl]) }),
    }),
    secondApiUrl: second?.apiUrl,
    pid: child.pid!,
    log: () => errors,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
      await clear();
    },
  };
}

/** A directory with a short path: Unix sockets below it have at most 107 bytes. */
export async function freshDataDir(): Promise<string> {
  await mkdir('/var/tmp/dormouse', { recursive: true, mode: 0o711 });
  const dir = await mkdtemp('/var/tmp/dormouse/t-');
  // VM processes and the database run as users of their own and must be able to pass through.
  await chmod(dir, 0o711);
  await cp(join(assetsDir(), 'accelerator.json'), join(dir, 'accelerator.json')).catch(() => {});
  return dir;
}

/** What a stack's processes are told to use as /tmp, so that what they leave there can be seen. */
export function temporaryDirOf(dataDir: string): string {
  return `${dataDir}.tmp`;
}

/** A name derived from the data directory, by which shared places tell installations apart. */
export function instanceOf(dataDir: string): string {
  return createHash('sha256').update(dataDir).digest('hex').slice(0, 8);
}

/** Where the RAM of a stack's guests is. */
export function guestMemoryDirOf(dataDir: string): string {
  return join('/dev/shm/dormouse', instanceOf(dataDir));
}

/** A TCP port that nobody listens on at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function firstLine(child: ChildProcess, errors: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const fail = (why: string): void => reject(new Error(`dormouse up ${why}:\n${errors()}`));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail('did not become ready');
    }, START_TIMEOUT_MS);
    child.once('exit', (code) => {
      clearTimeout(timer);
      fail(`ended with ${code}`);
    });
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      clearTimeout(timer);
      resolve(text.slice(0, end));
    });
  });
}
