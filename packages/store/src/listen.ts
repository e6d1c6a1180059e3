import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';

const CHANNEL = 'dormouse_events';
const RECONNECT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Listens until stopped, and connects again whenever the connection is lost. */
export async function listenForEvents(
  databaseUrl: string,
  onEvent: (teamId: string | undefined) => void,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    await listenOnce(databaseUrl, onEvent, stop).catch(() => undefined);
    if (!stop.aborted) await wait(RECONNECT_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}

async function listenOnce(
  databaseUrl: string,
  onEvent: (teamId: string | undefined) => void,
  stop: AbortSignal,
): Promise<void> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'dormouse events',
  });
  const over = new Promise<void>((resolve) => {
    client.on('error', () => resolve());
    client.on('end', resolve);
    stop.addEventListener('abort', () => resolve(), { once: true });
  });
  client.on('notification', ({ payload }) => onEvent(payload));
  try {
    await client.connect();
    await client.query(`listen ${CHANNEL}`);
    onEvent(undefined);
    await over;
  } finally {
    await client.end().catch(() => undefined);
  }
}
