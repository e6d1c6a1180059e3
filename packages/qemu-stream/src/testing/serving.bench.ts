import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
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
const PING_BYTE = 8;
const LAST_BYTE = 3;

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

/** QEMU's end: reads sections, asks for one page after the other from the far end, and answers pings. */
async function readAll({ path }: { path: string }): Promise<void> {
  const socket = await connectSoon(path);
  const latenciesUs: number[] = [];
  let nextPage = PAGES - 1;
  let askedMs = 0;
  const ask = (): void => {
    if (latenciesUs.length === REQUESTS) return;
    askedMs = performance.now();
    socket.write(request(nextPage * PAGE_BYTES, PAGE_BYTES, 'ram'));
  };
  const onPage = (page: number): void => {
    if (page !== nextPage) return;
    latenciesUs.push(Math.round((performance.now() - askedMs) * 1000));
    nextPage--;
    ask();
  };
  let rest: Buffer = Buffer.alloc(0);
  let running = false;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!running) {
      // The package ends with a ping and the command that starts the guest.
      const end = rest.indexOf(Buffer.from('0800020004000000000800050000', 'hex'));
      if (end === -1) continue;
      rest = rest.subarray(end + 14);
      running = true;
      socket.write(message(2, u32(0)));
      ask();
    }
    let at = 0;
    for (let length = itemLength(rest, 0); length > 0 && at + length <= rest.length; ) {
      if (length > PAGE_BYTES) onPage(Math.floor(rest.readUIntBE(at + 2, 6) / PAGE_BYTES));
      else if (rest[at] === PING_BYTE) socket.write(message(2, rest.subarray(at + 5, at + 9)));
      else if (rest[at] === LAST_BYTE) break;
      at += length;
      length = itemLength(rest, at);
    }
    if (rest[at] === LAST_BYTE) break;
    rest = rest.subarray(at);
  }
  parentPort?.postMessage({ latenciesUs } satisfies Figures);
  socket.end(message(1, u32(0)));
}

/** Length of what begins here: the head of a section, its end, a ping or a record; 0 when that cannot be told yet. */
function itemLength(bytes: Buffer, from: number): number {
  const first = bytes[from];
  if (first === undefined) return 0;
  if (first === PING_BYTE) return 9;
  // The address of a record begins with a zero byte, nothing else does.
  if (first !== 0) return 5;
  if (bytes.length - from < 8) return 0;
  const flags = bytes.readUInt16BE(from + 6) % PAGE_BYTES;
  if (flags === 0x10) return 8;
  return 8 + (flags === 0x28 ? 0 : 4) + PAGE_BYTES;
}
