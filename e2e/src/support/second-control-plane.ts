import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Fetch } from '@dormouse/sdk';
import { childrenWith } from './processes.js';

const SCRIPT = 'control-plane/dist/main.js';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;

/** A control plane beside the one that `up` runs, on its database and its host. */
export interface SecondControlPlane {
  readonly apiUrl: string;
  stop(): Promise<void>;
}

/** Whether every stack of these tests is to have a second control plane. */
export function wantsSecondControlPlane(): boolean {
  return process.env.DORMOUSE_E2E_CONTROL_PLANES === '2';
}

/**
 * Starts another control plane with the environment of the one that `up` runs, on a port of its own. It ends with this
 * process, and when it is stopped.
 *
 * @param upPid process id of `dormouse up`
 */
export async function startSecondControlPlane(
  repository: string,
  upPid: number,
): Promise<SecondControlPlane> {
  const [first] = await childrenWith(upPid, SCRIPT);
  if (first === undefined) throw new Error('`up` runs no control plane');
  const environment = (await readFile(`/proc/${first}/environ`, 'utf8'))
    .split('\0')
    .filter((line) => line !== '');
  const child = spawn(process.execPath, [join(repository, 'apps', SCRIPT)], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      ...Object.fromEntries(
        environment.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      ),
      DORMOUSE_API_PORT: '0',
      // It leaves when its standard input closes, so also when this process dies.
      DORMOUSE_SUPERVISED: '1',
    },
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const hard = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(hard);
  };
  const ready = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error('the second control plane is not ready')),
      START_TIMEOUT_MS,
    );
    createInterface({ input: child.stdout }).once('line', (line) => {
      clearTimeout(timer);
      resolve((JSON.parse(line) as { apiUrl: string }).apiUrl);
    });
    void exited.then(() => reject(new Error('the second control plane has ended')));
  });
  try {
    return { apiUrl: await ready, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Sends requests to the one and to the other in turn. @param urls the first is the one that callers name */
export function alternatingFetch(urls: readonly [string, string]): Fetch {
  let requests = 0;
  return (url, init) => {
    const to = urls[requests % 2 === 0 ? 0 : 1];
    requests += 1;
    return fetch(url.startsWith(urls[0]) ? `${to}${url.slice(urls[0].length)}` : url, init);
  };
}
