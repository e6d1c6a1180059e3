import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { DormouseError, systemErrorCode } from '@dormouse/errors';

/** Proof that this process, and no other on the machine, runs the database of a directory. */
export interface Ownership {
  release(): Promise<void>;
}

/**
 * Claims a directory for the life of this process.
 *
 * The claim is an abstract Unix socket named after the directory: the kernel makes it atomic and drops it with
 * the process, however that ends, so there is no stale lock to judge.
 *
 * @param realDir canonical path of the directory
 * @throws DormouseError `already_running`
 */
export async function claim(realDir: string): Promise<Ownership> {
  const name = `\0dormouse-postgres-${createHash('sha256').update(realDir).digest('hex').slice(0, 32)}`;
  const server = createServer((socket) => socket.destroy());
  await listen(server, name, realDir);
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function listen(server: Server, name: string, realDir: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const taken = systemErrorCode(error) === 'EADDRINUSE';
      reject(
        taken
          ? new DormouseError('already_running', `another Dormouse is running the database in ${realDir}`, {
              cause: error,
              suggestion: 'Stop it first, or choose another data directory.',
            })
          : error,
      );
    });
    server.listen({ path: name }, resolve);
  });
}
