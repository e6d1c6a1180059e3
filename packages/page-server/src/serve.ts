import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { PostcopySource, parseSavedStream, type RestoreStatistics } from '@dormouse/qemu-stream';
import { mergeWorkingSet, openMemory, readManifest, readWorkingSet } from '@dormouse/snapshot';
import type { Served, ServeJob } from './jobs.js';
import { leaveOpen } from './left-open.js';

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * The guest begins to run with the first of its working set, and the rest of that stays ahead of it. Then the moments
 * belong to the guest, which has its first command to do: on a host with few processors pushing more would take one
 * from it. A pause has to wait for everything, so it comes soon all the same.
 */
const SERVING = {
  pagesBeforeRun: 64,
  background: { quietMs: 250, atLatestMs: 1_000 },
} as const;

/**
 * While a working set is being recorded every page is answered alone and the rest waits longer: what is sent unasked is
 * never asked for, so nobody would learn that it was needed.
 */
const RECORDING = { clusterPages: 1, background: { quietMs: 200, atLatestMs: 3_000 } } as const;

/**
 * Restores a VM: sends devices and working set, answers page requests, pushes the rest.
 *
 * @param onRunning the guest runs
 * @throws DormouseError `snapshot_corrupt`, `snapshot_unsupported`, `not_found`, `restore_failed`
 */
export async function serve(job: ServeJob, onRunning: () => void): Promise<Served> {
  const place = { root: job.root };
  const saved = parseSavedStream(await readDevices(job));
  using memory = openMemory(place, job.generationId);
  const recorded = readWorkingSet(place, job.generationId, memory.pageCount);
  const recording = recorded.pages.length === 0;
  const socket = await connect(job.socketPath);
  try {
    const source = new PostcopySource(socket, saved, memory, {
      workingSet: recorded.pages,
      ...(recording ? RECORDING : SERVING),
      onRunning,
    });
    const statistics = await source.run();
    socket.destroy();
    const { pages, drifted } = mergeWorkingSet(recorded.pages, statistics.requestedPages);
    const changed = drifted || pages.length > recorded.pages.length;
    return {
      ...summaryOf(statistics),
      // An empty set makes the next restore record anew.
      ...(changed ? { workingSet: drifted ? [] : pages } : {}),
      ...(recorded.problem === undefined ? {} : { workingSetProblem: recorded.problem.message }),
    };
  } catch (error) {
    leaveOpen(socket);
    throw error;
  }
}

function summaryOf(statistics: RestoreStatistics): Served {
  const { requests, sentAhead, pushed, bytesSent, untilRunningMs, untilLoadedMs, requestLatencyUs } =
    statistics;
  return { requests, sentAhead, pushed, bytesSent, untilRunningMs, untilLoadedMs, requestLatencyUs };
}

async function readDevices({ root, generationId }: ServeJob): Promise<Buffer> {
  const record = readManifest({ root }, generationId).artifacts['device.bin'];
  const bytes = await readFile(join(root, generationId, 'device.bin'));
  if (record?.sha256 !== createHash('sha256').update(bytes).digest('hex')) {
    throw new DormouseError(
      'snapshot_corrupt',
      `device.bin of generation ${generationId} does not match its manifest`,
    );
  }
  return bytes;
}

async function connect(path: string): Promise<Socket> {
  const socket = createConnection(path);
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
    return socket;
  } catch (cause) {
    socket.destroy();
    throw new DormouseError('restore_failed', 'QEMU does not listen for the saved VM', { cause });
  }
}
