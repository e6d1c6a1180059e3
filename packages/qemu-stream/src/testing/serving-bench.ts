import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { PostcopySource } from '../postcopy/postcopy-source.js';
import { smallStream } from './fixture.js';
import { connectSoon } from './qmp-client.js';
import { message, request, u32 } from './scripted-vm.js';
import { temporaryDirectory } from './temporary-directory.js';

/**
 * How fast the source serves, over a Unix socket to a reader in another thread that does nothing with the pages:
 * pages a second in the background, and how long requests take from end to end, alone and while the rest is pushed.
 * `npm run bench -w packages/qemu-stream` after a build.
 */
const PAGES = 65_536;
const PAGE_BYTES = 4096;
const REQUESTS = 1000;

interface Figures {
  readonly latenciesUs: readonly number[];
}

if (isMainThread) {
  for (const [name, push] of [
    ['requests alone', false],
    ['requests while pushing', true],
  ] as const) {
    await measure(name, push);
  }
} else {
  await readAll(workerData as { path: string });
}

async function measure(name: string, push: boolean): Promise<void> {
  await using folder = await temporaryDirectory();
  const path = join(folder.path, 'source.sock');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const worker = new Worker(new URL(import.meta.url), { workerData: { path } });
  const figures = once(worker, 'message') as Promise<[Figures]>;
  const [connection] = (await accepted) as [Socket];
  const content = Buffer.alloc(PAGE_BYTES, 7);
  const pages = { pageCount: PAGES, nextPopulated: (page: number) => page, read: () => content };
  const background = push ? { quietMs: 0 } : { quietMs: 200, atLatestMs: 60_000 };
  const source = new PostcopySource(connection, smallStream(PAGES, content), pages, { background });
  const { untilLoadedMs, untilRunningMs, pushed, requestLatencyUs } = await source.run();
  const [{ latenciesUs }] = await figures;
  const sorted = latenciesUs.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  const rate = push ? `${Math.round((pushed / (untilLoadedMs - untilRunningMs)) * 1000)} pages/s, ` : '';
  process.stdout.write(
    `${name}: ${rate}request to page p50 ${at(0.5)} p95 ${at(0.95)} max ${at(0.999)} µs ` +
      `(of that in the source: p50 ${requestLatencyUs.p50} p95 ${requestLatencyUs.p95} µs), ${sorted.length} requests\n`,
  );
  server.close();
  connection.destroy();
  await worker.terminate();
}

/** QEMU's end: knows where pages and pings are, because every section has the same form. */
async function readAll({ path }: { path: string }): Promise<void> {
  const socket = await connectSoon(path);
  const latenciesUs: number[] = [];
  let seen = 0;
  let ended = false;
  let awaited: { page: number; askedMs: number } | undefined;
  let next = PAGES - 1;
  const ask = (): void => {
    if (latenciesUs.length === REQUESTS || ended) return;
    awaited = { page: next--, askedMs: performance.now() };
    socket.write(request(awaited.page * PAGE_BYTES, PAGE_BYTES, 'ram'));
  };
  let rest: Buffer = Buffer.alloc(0);
  let at = -1;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (at === -1) {
      // The package ends with the command that starts the guest.
      const run = rest.indexOf(Buffer.from('0800020004000000000800050000', 'hex'));
      if (run === -1) continue;
      rest = rest.subarray(run + 14);
      at = 0;
      socket.write(message(2, u32(0)));
      ask();
    }
    rest = rest.subarray(take(rest));
    await delay(0, undefined, { ref: false }).catch(() => {});
  }
  parentPort?.postMessage({ latenciesUs } satisfies Figures);

  /** Reads whole items: sections heads, records, footers, pings, the end. Answers how far. */
  function take(bytes: Buffer): number {
    let from = 0;
    for (;;) {
      const length = itemLength(bytes, from);
      if (length === 0 || from + length > bytes.length) return from;
      item(bytes, from, length);
      from += length;
    }
  }

  function itemLength(bytes: Buffer, from: number): number {
    if (bytes.length - from < 9) return ended || bytes.length - from === 0 ? 0 : bytes[from] === 0 ? 1 : 0;
    const type = bytes[from]!;
    if (type === 2 && bytes.readUInt32BE(from + 1) === 2) return 5;
    if (type === 3 && bytes.readUInt32BE(from + 1) === 2) return 5;
    if (type === 0x7e) return 5;
    if (type === 8) return 9;
    const flags = bytes.readUInt32BE(from + 4) % PAGE_BYTES;
    if (flags === 0x10) return 8;
    return 8 + (flags & 0x20 ? 0 : 4) + PAGE_BYTES;
  }

  function item(bytes: Buffer, from: number, length: number): void {
    if (length > PAGE_BYTES) {
      seen++;
      const page = (bytes.readUInt32BE(from) * 2 ** 32 + bytes.readUInt32BE(from + 4)) / PAGE_BYTES;
      if (awaited !== undefined && Math.floor(page) === awaited.page) {
        latenciesUs.push(Math.round((performance.now() - awaited.askedMs) * 1000));
        awaited = undefined;
        ask();
      }
    } else if (bytes[from] === 8) {
      socket.write(message(2, bytes.subarray(from + 5, from + 9)));
    }
    if (seen === PAGES && bytes[from] === 3) {
      ended = true;
      socket.write(message(1, u32(0)));
      socket.end();
    }
  }
}
