import { setTimeout as wait } from 'node:timers/promises';
import { Logger, makeWorkerUtils, run, type SharedOptions, type WorkerUtils } from 'graphile-worker';
import pg from 'pg';
import type { Logger as Pino } from 'pino';
import { z } from 'zod';
import type { BuildQueue, Services } from '../context.js';
import { runBuild } from './build.js';

const TASK = 'build_template';
const Payload = z.object({ teamId: z.string(), id: z.string() });

/** Builds at once, in one process. */
const CONCURRENCY = 2;
const POOL_SIZE = 4;

/** How long to wait before workers that gave up are followed by others. */
const RESTART_AFTER_MS = 2_000;

/** How often to look for builds that nobody is at. */
const REQUEUE_EVERY_MS = 5_000;

/** Hands builds to whichever control plane has time, also after one has died with them. */
export interface BuildJobs extends BuildQueue {
  /** Takes work, until stopped: a build that is under way then waits again. */
  start(services: Services): Promise<{ stop(): Promise<void> }>;
  close(): Promise<void>;
}

/** Connects to the queue, and makes its tables when they are missing. */
export async function openBuildJobs(databaseUrl: string, log: Pino): Promise<BuildJobs> {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: POOL_SIZE,
    application_name: 'dormouse jobs',
  });
  const lost = (err: Error): void => log.warn({ err }, 'connection of the job queue lost');
  pool.on('error', lost);
  pool.on('connect', (client) => client.on('error', lost));
  const shared: SharedOptions = { pgPool: pool, logger: workerLog(log) };
  const utils = await makeWorkerUtils(shared);
  await utils.migrate();
  const add = (teamId: string, id: string) => enqueue(utils, teamId, id);
  return {
    add,
    start: async (services) => {
      const stopping = new AbortController();
      const working = work(shared, services, stopping.signal);
      const requeueing = setInterval(() => void requeue(services, add), REQUEUE_EVERY_MS);
      return {
        stop: async () => {
          clearInterval(requeueing);
          stopping.abort();
          await working;
        },
      };
    },
    close: async () => {
      await utils.release();
      await pool.end();
    },
  };
}

/** Works until stopped. Workers give up when the database is away for long; others begin when it may be back. */
async function work(shared: SharedOptions, services: Services, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      const runner = await run({
        ...shared,
        concurrency: CONCURRENCY,
        noHandleSignals: true,
        parsedCronItems: [],
        taskList: {
          [TASK]: async (payload) => {
            const { teamId, id } = Payload.parse(payload);
            await runBuild(services, teamId, id, stop);
          },
        },
      });
      const end = (): void => void runner.stop().catch(() => undefined);
      if (stop.aborted) end();
      else stop.addEventListener('abort', end, { once: true });
      await runner.promise;
    } catch (err) {
      services.log.warn({ err }, 'the job queue has stopped working; it begins again');
    }
    await wait(RESTART_AFTER_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}

/** A build that is in the queue already stays where it is; one that a dead worker holds gets another turn. */
async function enqueue(utils: WorkerUtils, teamId: string, id: string): Promise<void> {
  await utils.addJob(TASK, { teamId, id }, { jobKey: id, jobKeyMode: 'preserve_run_at', maxAttempts: 1 });
}

/** Whoever was at these is gone, or they never reached the queue. */
async function requeue({ store, log }: Services, add: BuildJobs['add']): Promise<void> {
  try {
    for (const { id, teamId } of await store.system.unfinishedBuilds()) await add(teamId, id);
  } catch (err) {
    log.warn({ err }, 'builds could not be queued again');
  }
}

function workerLog(log: Pino): Logger {
  return new Logger(() => (level, message) => {
    if (level === 'error' || level === 'warning') log.warn({ reason: message }, 'job queue');
    else log.debug({ reason: message }, 'job queue');
  });
}
