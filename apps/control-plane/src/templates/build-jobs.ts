import { Logger, makeWorkerUtils, type Runner, run, type WorkerUtils } from 'graphile-worker';
import type { Logger as Pino } from 'pino';
import { z } from 'zod';
import type { Services } from '../context.js';
import { runBuild } from './build.js';

const TASK = 'build_template';
const Payload = z.object({ teamId: z.string(), id: z.string() });

/** Builds at once, in one process. */
const CONCURRENCY = 2;
const POOL_SIZE = 4;

/** How often to look for builds that nobody is at. */
const REQUEUE_EVERY_MS = 5_000;

/** Hands builds to whichever control plane has time, also after one has died with them. */
export interface BuildJobs {
  /** Resolves when the build is in the queue. */
  add(teamId: string, id: string): Promise<void>;
  /** Takes work, until stopped: a build that is under way then waits again. */
  start(services: Services): Promise<{ stop(): Promise<void> }>;
  close(): Promise<void>;
}

/** Connects to the queue, and makes its tables when they are missing. */
export async function openBuildJobs(databaseUrl: string, log: Pino): Promise<BuildJobs> {
  const shared = { connectionString: databaseUrl, maxPoolSize: POOL_SIZE, logger: workerLog(log) };
  const utils = await makeWorkerUtils(shared);
  await utils.migrate();
  const add = (teamId: string, id: string) => enqueue(utils, teamId, id);
  return {
    add,
    start: async (services) => {
      const stopping = new AbortController();
      const runner = await run({
        ...shared,
        concurrency: CONCURRENCY,
        noHandleSignals: true,
        parsedCronItems: [],
        taskList: {
          [TASK]: async (payload) => {
            const { teamId, id } = Payload.parse(payload);
            await runBuild(services, teamId, id, stopping.signal);
          },
        },
      });
      const requeueing = setInterval(() => void requeue(services, add), REQUEUE_EVERY_MS);
      return { stop: () => stop(runner, stopping, requeueing) };
    },
    close: async () => {
      await utils.release();
    },
  };
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

async function stop(
  runner: Runner,
  stopping: AbortController,
  requeueing: ReturnType<typeof setInterval>,
): Promise<void> {
  clearInterval(requeueing);
  stopping.abort();
  await runner.stop();
}

function workerLog(log: Pino): Logger {
  return new Logger(() => (level, message) => {
    if (level === 'error' || level === 'warning') log.warn({ reason: message }, 'job queue');
    else log.debug({ reason: message }, 'job queue');
  });
}
