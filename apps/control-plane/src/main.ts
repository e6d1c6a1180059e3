import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { connectHost } from '@dormouse/host-api';
import { Store } from '@dormouse/store';
import { startTracing } from '@dormouse/telemetry';
import { z } from 'zod';
import { openAccess } from './access/access.js';
import { type Config, readConfig } from './config.js';
import type { Services } from './context.js';
import { ensureCredentials } from './credentials.js';
import { EventFeed } from './events/feed.js';
import { pruneForEver } from './events/prune.js';
import { Bell } from './flow/bell.js';
import { watchHost } from './host-events/watch.js';
import { createMetrics } from './http/metrics.js';
import { keepAlive } from './keep-alive.js';
import { createLogger, redirectConsole } from './log.js';
import { sweepForEver } from './maintenance.js';
import { failWith, once, stopRequested } from './process.js';
import { repairProjectsForEver } from './projects/repair.js';
import { reconcileForEver } from './reconciler/loop.js';
import { reconcileOnce } from './reconciler/reconcile.js';
import { InFlight } from './sandboxes/in-flight.js';
import { Operations } from './sandboxes/operations.js';
import { startServer } from './server.js';
import { openBuildJobs } from './templates/build-jobs.js';
import { resolveWithSystem } from './webhooks/receiver.js';
import { WebhookSender } from './webhooks/sender.js';
import { WebhookWorker } from './webhooks/worker.js';

/** A host that does not answer by then is no reason not to take requests. */
const FIRST_ROUND_MS = 2_000;

/** Runs the control plane until asked to stop. Prints where it is, as one line of JSON, when it takes requests. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = createLogger(config.logLevel);
  redirectConsole(log);
  const tracing = await startTracing({
    serviceName: 'dormouse-control-plane',
    version: await version(),
    environment: process.env,
    log,
  });
  const stop = stopRequested({ whenStdinCloses: config.supervised });

  const store = await openStore(config, (err) => log.warn({ err }, 'database connection lost'));
  const buildJobs = await openBuildJobs(config.databaseUrl, log);
  const { host, close } = connectHost(config.hostSocket);
  try {
    await ensureCredentials(config.credentialsPath, store);
    const services: Services = {
      store,
      host,
      log,
      metrics: createMetrics(store),
      inFlight: new InFlight(),
      operations: new Operations(),
      feed: new EventFeed(),
      access: await openAccess(store, config),
      buildJobs,
      webhooks: new WebhookSender({
        allowPrivate: config.webhooksMayBePrivate,
        resolve: resolveWithSystem,
      }),
      version: await version(),
    };
    // Before anything is moved: whoever moves something can be seen to be at work.
    await store.system.lease.renew();
    // While nobody was here the host has gone on by itself: who asks first shall not hear what was.
    await Promise.race([reconcileOnce(services).catch(() => undefined), wait(FIRST_ROUND_MS)]);
    const server = await startServer(services, { host: config.apiHost, port: config.apiPort });
    process.stdout.write(`${JSON.stringify({ apiUrl: server.url })}\n`);
    log.info({ url: server.url, version: services.version }, 'accepting requests');

    const builds = await buildJobs.start(services);
    const bell = new Bell();
    const drained = new AbortController();
    const working = Promise.all([
      reconcileForEver(services, bell, stop),
      watchHost(services, bell, stop),
      repairProjectsForEver(services, stop),
      pruneForEver(services, stop),
      sweepForEver(services, config.auditDays, stop),
      services.feed.run(store),
      new WebhookWorker(services).run(stop),
      keepAlive(services, drained.signal),
    ]);
    await once(stop);
    log.info('stopping');
    await server.stop();
    await builds.stop();
    drained.abort();
    await working;
    await store.system.lease.end();
  } finally {
    close();
    await buildJobs.close();
    await store.close();
    await tracing.stop();
  }
}

async function openStore(config: Config, onConnectionError: (error: Error) => void): Promise<Store> {
  try {
    const { databaseUrl, quotas } = config;
    return await Store.open({ databaseUrl, quotas, onConnectionError });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new DormouseError('unavailable', `the database cannot be used: ${why}`, {
      cause: error,
      suggestion: 'Check DATABASE_URL and that the server runs.',
    });
  }
}

async function version(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return z.object({ version: z.string() }).parse(manifest).version;
}

main().then(
  () => process.exit(0),
  (error: unknown) => failWith('control-plane', error),
);
