import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { QmpClient } from './qmp.js';

/** Saving takes some 10 ms; the bound is for a machine that swaps or whose disk is slow to flush. */
const SAVE_TIMEOUT_MS = 60_000;
/** Devices of this machine take some 70 kB. */
const MAX_SAVED_BYTES = 64 * 1024 * 1024;
/** No limit in effect: what is saved is small, and the VM stands still for it. */
const BANDWIDTH_BYTES_PER_S = 2 ** 40;

/**
 * Stops a VM and saves its devices, by migrating it to nowhere: memory in a shared file stays where it is
 * (`x-ignore-shared`), so the stream holds the devices and the small ROMs only.
 *
 * @param socketPath where to receive the stream; its directory belongs to the VM's user alone
 * @throws DormouseError `pause_failed`
 */
export async function saveDevices(
  qmp: QmpClient,
  socketPath: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const receiver = await Receiver.listen(socketPath);
  const limit = AbortSignal.any([
    AbortSignal.timeout(SAVE_TIMEOUT_MS),
    ...(signal === undefined ? [] : [signal]),
  ]);
  try {
    await qmp.execute('migrate-set-capabilities', {
      capabilities: [
        { capability: 'events', state: true },
        { capability: 'postcopy-ram', state: false },
        { capability: 'x-ignore-shared', state: true },
      ],
    });
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH_BYTES_PER_S });
    await qmp.execute('stop');
    const ended = migrationEnd(qmp, limit);
    ended.catch(() => {});
    await qmp.execute('migrate', { uri: `unix:${socketPath}` });
    const status = await ended;
    if (status !== 'completed') {
      const why = (await qmp.execute('query-migrate'))['error-desc'] ?? status;
      throw new DormouseError('pause_failed', `QEMU did not save the VM: ${why}`);
    }
    return await receiver.received(limit);
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (error.code === 'pause_failed') throw error;
    throw new DormouseError('pause_failed', `the VM could not be frozen: ${error.message}`, { cause: error });
  } finally {
    await receiver.close();
  }
}

/** Ends a migration that somebody who has died meanwhile has begun. */
export async function endMigration(qmp: QmpClient): Promise<void> {
  const { status } = await qmp.execute('query-migrate');
  if (status !== 'setup' && status !== 'active' && status !== 'device') return;
  const ended = migrationEnd(qmp, AbortSignal.timeout(SAVE_TIMEOUT_MS));
  ended.catch(() => {});
  await qmp.execute('migrate_cancel');
  const now = await qmp.execute('query-migrate');
  if (now.status === 'cancelling') await ended;
}

/** Resolves with the status a migration ends with. */
function migrationEnd(qmp: QmpClient, limit: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      off();
      limit.removeEventListener('abort', onLimit);
      act();
    };
    const onLimit = (): void =>
      settle(() =>
        reject(new DormouseError('timeout', 'QEMU was not done in time', { cause: limit.reason })),
      );
    const off = qmp.onEvent(({ name, data }) => {
      if (name !== 'MIGRATION') return;
      const { status } = data;
      if (status === 'completed' || status === 'failed' || status === 'cancelled')
        settle(() => resolve(status));
    });
    limit.addEventListener('abort', onLimit);
    if (limit.aborted) onLimit();
    void qmp.closed.then(() =>
      settle(() => reject(new DormouseError('pause_failed', 'the VM ended while it was being frozen'))),
    );
  });
}

/** Takes one connection and keeps what comes. */
class Receiver {
  readonly #server: Server;
  readonly #path: string;
  readonly #chunks: Buffer[] = [];
  readonly #whole: Promise<Buffer>;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
    this.#whole = new Promise((resolve, reject) => {
      let bytes = 0;
      server.once('connection', (socket) => {
        server.close();
        socket.on('data', (chunk) => {
          bytes += chunk.length;
          this.#chunks.push(chunk);
          if (bytes > MAX_SAVED_BYTES) socket.destroy(new Error('the saved state has no end'));
        });
        socket.once('error', reject);
        socket.once('end', () => {
          socket.end();
          resolve(Buffer.concat(this.#chunks));
        });
      });
    });
    this.#whole.catch(() => {});
  }

  static async listen(path: string): Promise<Receiver> {
    await rm(path, { force: true });
    const server = createServer();
    server.listen(path);
    await once(server, 'listening');
    // The VM's user has to connect; nobody else reaches the directory.
    await chmod(path, 0o777);
    return new Receiver(server, path);
  }

  received(limit: AbortSignal): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const onLimit = (): void =>
        reject(new DormouseError('timeout', 'the saved state did not come in time'));
      limit.addEventListener('abort', onLimit, { once: true });
      this.#whole.then(resolve, reject).finally(() => limit.removeEventListener('abort', onLimit));
    });
  }

  async close(): Promise<void> {
    if (this.#server.listening) this.#server.close();
    await rm(this.#path, { force: true });
  }
}
