import { parseArgs } from 'node:util';
import { DormouseError } from '@dormouse/errors';
import { startEmbeddedPostgres } from '@dormouse/store';
import { failWith, once, stopRequested } from './process.js';

/** Runs PostgreSQL until asked to stop. Prints where it is, as one line of JSON, when it takes queries. */
async function main(): Promise<void> {
  const dir = directory();
  const stop = stopRequested({ whenStdinCloses: true });
  const database = await startEmbeddedPostgres({ dir, onLog: (text) => process.stderr.write(text) });
  if (!stop.aborted) process.stdout.write(`${JSON.stringify({ databaseUrl: database.databaseUrl })}\n`);
  const ending = await Promise.race([
    once(stop).then(() => 'asked' as const),
    database.ended.then(() => 'by itself' as const),
  ]);
  await database.stop();
  if (ending === 'by itself') throw new DormouseError('unavailable', 'PostgreSQL ended by itself');
}

function directory(): string {
  try {
    const { dir } = parseArgs({ options: { dir: { type: 'string' } } }).values;
    if (dir !== undefined && dir !== '') return dir;
  } catch (error) {
    throw new DormouseError('invalid_request', error instanceof Error ? error.message : String(error));
  }
  throw new DormouseError('invalid_request', 'say where the database is: --dir DIR');
}

main().then(
  () => process.exit(0),
  (error: unknown) => failWith('database', error),
);
