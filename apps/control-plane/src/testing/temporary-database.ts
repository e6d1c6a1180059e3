import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '@dormouse/store';

/** A PostgreSQL server of its own, gone without a trace when closed. */
export interface TemporaryDatabase {
  readonly databaseUrl: string;
  close(): Promise<void>;
}

/** Starts a server in a temporary directory. */
export async function startTemporaryDatabase(): Promise<TemporaryDatabase> {
  const dir = await mkdtemp(join(tmpdir(), 'dormouse-db-'));
  // The database may run as another user, who has to get to its directory.
  await chmod(dir, 0o711);
  const remove = () => rm(dir, { recursive: true, force: true });
  try {
    const server = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
    return {
      databaseUrl: server.databaseUrl,
      close: async () => {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
