import type { Duplex } from 'node:stream';
import { DormouseError } from '@dormouse/errors';
import { restoreFailed } from '../errors.js';
import { PAGE_BYTES } from '../protocol.js';
import type { SavedStream } from '../saved/saved-stream.js';
import { abortError } from './abort.js';
import { BatchPool } from './batch-pool.js';
import { deferred } from './deferred.js';
import type { PageBatch } from './page-batch.js';
import type { PageSource } from './page-source.js';
import { encodeEnd, encodePackage, encodePreamble } from './preamble.js';
import { DEFAULTS, type RestoreOptions } from './restore-options.js';
import { type ReturnMessage, ReturnPath } from './return-path.js';
import { type ServedBlock, type ServedBlocks, servedBlocks } from './served-block.js';
import { type RestoreStatistics, summarize } from './statistics.js';

/** The ping behind the devices. Those of the background count from 1. */
const LOADED_PING = 0;

/** Pages in one answer. */
const ANSWER_PAGES = 16;

/** Answers that the socket has not taken yet; while so many wait, no further requests are read. */
const ANSWERS_ON_THEIR_WAY = 4;

/** Larger requests than one huge page are not what QEMU sends. */
const MAX_REQUEST_BYTES = 2 * 1024 * 1024;

interface WaitingRequest {
  readonly block: ServedBlock;
  readonly page: number;
  readonly arrivedMs: number;
}

/**
 * Plays the source of a post-copy migration: QEMU, started with `-incoming` and the capability `postcopy-ram` but
 * without `x-ignore-shared`, gets the saved devices, runs, and asks for the pages it misses.
 *
 * The rules of the protocol that it keeps:
 * - a page is sent once. QEMU fails when a page comes twice, so a request for one that was sent since the discard is
 *   left unanswered: the page is on its way, and QEMU wakes whoever waits when it puts the page in place;
 * - every other request is answered, also for zeros;
 * - pages of zeros are sent when they are asked for or in the working set, which is what was asked for another time.
 *   The others need not be sent: at the end QEMU stops catching faults, and untouched memory reads as zeros. Requests
 *   that cross with the end need no answer for the same reason;
 * - background sections carry pings, and only few are unanswered at a time. So whatever the buffers between here and
 *   QEMU hold, a request waits behind a bounded number of background bytes.
 */
export class PostcopySource {
  readonly #connection: Duplex;
  readonly #saved: SavedStream;
  readonly #pages: PageSource;
  readonly #options: RestoreOptions;
  readonly #blocks: ServedBlocks;
  readonly #clusterPages: number;
  readonly #windowSlices: number;
  readonly #quietMs: number;
  readonly #answers: BatchPool;
  readonly #slices: BatchPool;
  readonly #returnPath = new ReturnPath();
  readonly #waiting: WaitingRequest[] = [];
  readonly #requestedPages: number[] = [];
  readonly #waitsMs: number[] = [];
  #state: 'new' | 'ahead' | 'serving' | 'ending' | 'ended' = 'new';
  #beganMs = 0;
  #untilSentMs = 0;
  #untilRunningMs = 0;
  #requests = 0;
  #sentAhead = 0;
  #answered = 0;
  #pushed = 0;
  #bytesSent = 0;
  readonly #ahead = this.#pagesAhead();
  /** All that is sent unasked at once is sent. */
  #isAhead = false;
  #pushing = false;
  #cursor = 0;
  #slicesSent = 0;
  #slicesRead = 0;
  #quietFromMs = 0;
  #pushAtLatestMs = 0;
  #quietTimer: NodeJS.Timeout | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  readonly #onData = (chunk: Uint8Array): void => this.#guard(() => this.#receive(chunk));
  readonly #onClose = (): void => this.#fail(restoreFailed('the VM closed the connection'));
  readonly #ending = deferred<RestoreStatistics>();

  /**
   * @param connection to QEMU's incoming socket. It stays the caller's to close: after an error only once the VM is
   *   dead. A QEMU that loses its source while it loads devices stops catching faults before it exits, and a guest that
   *   runs in that moment sees zeros; as long as the connection is open it stands still instead
   * @throws DormouseError `snapshot_unsupported` or `snapshot_corrupt` when state and memory do not belong together
   */
  constructor(connection: Duplex, saved: SavedStream, pages: PageSource, options: RestoreOptions = {}) {
    this.#connection = connection;
    this.#saved = saved;
    this.#pages = pages;
    this.#options = options;
    this.#blocks = servedBlocks(saved, pages, options.lazyBlock ?? DEFAULTS.lazyBlock);
    this.#clusterPages = options.clusterPages ?? DEFAULTS.clusterPages;
    this.#windowSlices = options.background?.windowSlices ?? DEFAULTS.windowSlices;
    this.#quietMs = options.background?.quietMs ?? DEFAULTS.quietMs;
    this.#answers = new BatchPool(ANSWERS_ON_THEIR_WAY, saved.ram.id, ANSWER_PAGES);
    const slicePages = options.background?.slicePages ?? DEFAULTS.slicePages;
    this.#slices = new BatchPool(this.#windowSlices, saved.ram.id, slicePages);
  }

  /**
   * Restores. Resolves when QEMU has all memory and needs no source any more.
   *
   * @throws DormouseError `restore_failed` when QEMU hangs up, breaks the protocol or stands still; `cancelled` or
   *   `timeout` by the signal; and what the page source throws. The guest must not be used then
   */
  async run(): Promise<RestoreStatistics> {
    if (this.#state !== 'new') throw new DormouseError('invalid_state', 'a source restores once');
    this.#state = 'ahead';
    this.#beganMs = performance.now();
    const { signal } = this.#options;
    const onAbort = (): void => this.#fail(abortError(signal?.reason));
    this.#listen();
    try {
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
      else this.#sendAhead().catch((error: unknown) => this.#fail(error));
      return await this.#ending.promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(this.#watchdog);
      clearTimeout(this.#quietTimer);
      this.#connection.off('data', this.#onData).off('end', this.#onClose).off('close', this.#onClose);
    }
  }

  #listen(): void {
    // The listener for errors stays: one that comes later is followed by `close`, which is the caller's business.
    this.#connection.on('error', (error) =>
      this.#fail(restoreFailed('the connection to the VM broke', error)),
    );
    this.#connection.on('data', this.#onData).on('end', this.#onClose).on('close', this.#onClose);
    const stallMs = this.#options.stallMs ?? DEFAULTS.stallMs;
    this.#watchdog = setTimeout(() => {
      if (this.#quietTimer === undefined) this.#fail(restoreFailed(`nothing moved for ${stallMs} ms`));
      else this.#progress();
    }, stallMs);
  }

  /** Everything up to the command that starts the guest. */
  async #sendAhead(): Promise<void> {
    const { lazy } = this.#blocks;
    this.#write(encodePreamble(this.#saved, lazy.name, lazy.pageCount * PAGE_BYTES));
    let batch = await this.#slices.next();
    const limit = this.#options.pagesBeforeRun ?? Number.POSITIVE_INFINITY;
    while (this.#sentAhead < limit && this.#putAhead(batch)) {
      if (!batch.full) continue;
      this.#sendSlice(batch);
      batch = await this.#slices.next();
    }
    this.#sendSlice(batch);
    // It may have failed while the last batch was waited for: then the guest must not run.
    if (this.#state !== 'ahead') return;
    this.#state = 'serving';
    this.#write(encodePackage(this.#saved.devices, LOADED_PING));
    this.#untilSentMs = this.#elapsedMs();
    this.#answer();
    this.#push();
  }

  /** Adds the next page that is to be sent unasked at once. False when there is none any more. */
  #putAhead(batch: PageBatch): boolean {
    const next = this.#ahead.next();
    if (next.done) {
      this.#isAhead = true;
      return false;
    }
    const { block, page } = next.value;
    if (block === this.#blocks.lazy) this.#sentAhead++;
    this.#put(batch, block, page);
    return true;
  }

  *#pagesAhead(): Generator<{ block: ServedBlock; page: number }> {
    for (const { block, offsetBytes } of this.#saved.ram.pages) {
      yield { block: this.#blocks.byName.get(block)!, page: offsetBytes / PAGE_BYTES };
    }
    const { lazy } = this.#blocks;
    for (const page of this.#options.workingSet ?? []) {
      if (!Number.isInteger(page) || page < 0 || page >= lazy.pageCount || lazy.sent.has(page)) continue;
      yield { block: lazy, page };
    }
  }

  #receive(chunk: Uint8Array): void {
    const arrivedMs = performance.now();
    this.#returnPath.push(chunk, (message) => this.#handle(message, arrivedMs));
    this.#answer();
    this.#push();
  }

  #handle(message: ReturnMessage, arrivedMs: number): void {
    switch (message.type) {
      case 'request':
        this.#request(message, arrivedMs);
        break;
      case 'pong':
        this.#pong(message.value);
        break;
      case 'shut':
        this.#shut(message.status);
        break;
    }
  }

  #request(range: ReturnMessage & { type: 'request' }, arrivedMs: number): void {
    const block = this.#blocks.byName.get(range.block);
    const first = range.offsetBytes / PAGE_BYTES;
    const end = first + range.lengthBytes / PAGE_BYTES;
    if (
      block === undefined ||
      !Number.isInteger(first) ||
      !Number.isInteger(end) ||
      end > block.pageCount ||
      range.lengthBytes > MAX_REQUEST_BYTES
    ) {
      const { offsetBytes, lengthBytes } = range;
      throw restoreFailed(`the VM asked for ${lengthBytes} bytes at ${offsetBytes} of block ${range.block}`);
    }
    this.#requests++;
    this.#disturb(arrivedMs);
    for (let page = first; page < end; page++) {
      if (!block.requested.add(page)) continue;
      if (block === this.#blocks.lazy) {
        this.#requestedPages.push(page);
        this.#options.onRequest?.(page);
      }
      if (!block.sent.has(page)) this.#waiting.push({ block, page, arrivedMs });
    }
  }

  #pong(value: number): void {
    if (value === LOADED_PING && this.#state === 'serving' && this.#untilRunningMs === 0) {
      this.#untilRunningMs = this.#elapsedMs();
      this.#progress();
      this.#options.onRunning?.();
      const nowMs = performance.now();
      this.#quietFromMs = nowMs + this.#quietMs;
      this.#pushAtLatestMs = nowMs + (this.#options.background?.atLatestMs ?? DEFAULTS.atLatestMs);
      this.#pushWhenQuiet();
    } else if (value === this.#slicesRead + 1 && value <= this.#slicesSent) {
      this.#slicesRead = value;
      this.#progress();
    } else {
      throw restoreFailed(`the VM answered ping ${value}, which it was not sent`);
    }
  }

  #shut(status: number): void {
    if (status !== 0) throw restoreFailed(`the VM could not take the memory (status ${status})`);
    if (this.#state !== 'ending') throw restoreFailed('the VM ended the restore before it was complete');
    this.#state = 'ended';
    this.#ending.resolve(this.#statistics());
  }

  /** Sends what was asked for, as far as the socket takes it. */
  #answer(): void {
    if (this.#state !== 'serving') return;
    while (this.#waiting.length > 0) {
      const batch = this.#answers.take();
      if (batch === undefined) {
        this.#connection.pause();
        return;
      }
      this.#sendAnswer(batch);
    }
  }

  #sendAnswer(batch: PageBatch): void {
    const requests = this.#waiting.splice(0, ANSWER_PAGES);
    for (const { block, page } of requests) {
      // May have gone out as a neighbour meanwhile.
      if (!block.sent.has(page)) this.#put(batch, block, page);
    }
    for (const { block, page } of requests) this.#putNeighbours(batch, block, page);
    if (batch.pages === 0) {
      this.#answers.give(batch);
      return;
    }
    this.#answered += batch.pages;
    this.#write(batch.finish(), () => {
      const nowMs = performance.now();
      for (const { arrivedMs } of requests) this.#waitsMs.push(nowMs - arrivedMs);
      this.#answers.give(batch);
      this.#progress();
      this.#connection.resume();
      this.#answer();
      // The last answer may be what the end of the restore has waited for.
      this.#push();
    });
  }

  #putNeighbours(batch: PageBatch, block: ServedBlock, page: number): void {
    if (block !== this.#blocks.lazy) return;
    const from = page - (page % this.#clusterPages);
    const end = from + this.#clusterPages;
    for (let near = this.#pages.nextPopulated(from); near !== -1 && near < end; ) {
      if (batch.full) return;
      if (!block.sent.has(near)) this.#put(batch, block, near);
      near = near + 1 < block.pageCount ? this.#pages.nextPopulated(near + 1) : -1;
    }
  }

  /** Sends the rest once no request has come for a while, or when that has lasted too long. */
  #pushWhenQuiet(): void {
    const nowMs = performance.now();
    const waitMs = Math.min(this.#quietFromMs, this.#pushAtLatestMs) - nowMs;
    if (waitMs <= 0) {
      this.#pushing = true;
      this.#push();
      return;
    }
    this.#quietTimer = setTimeout(() => {
      this.#quietTimer = undefined;
      this.#guard(() => this.#pushWhenQuiet());
    }, Math.ceil(waitMs));
  }

  /** The guest misses something: it shall have the processor and the connection for itself. */
  #disturb(arrivedMs: number): void {
    this.#quietFromMs = arrivedMs + this.#quietMs;
    if (!this.#pushing || arrivedMs >= this.#pushAtLatestMs) return;
    this.#pushing = false;
    this.#pushWhenQuiet();
  }

  /** Sends more of the working set, then of the rest, as far as QEMU has read what it was sent; at last the end. */
  #push(): void {
    if (this.#state !== 'serving' || (this.#isAhead && !this.#pushing)) return;
    while (this.#slicesSent - this.#slicesRead < this.#windowSlices) {
      const batch = this.#slices.take();
      if (batch === undefined) return;
      this.#fill(batch);
      if (batch.pages === 0) {
        this.#slices.give(batch);
        if (this.#pushing) this.#endWhenRead();
        return;
      }
      this.#sendSlice(batch, ++this.#slicesSent);
    }
  }

  #fill(batch: PageBatch): void {
    const { lazy } = this.#blocks;
    while (!batch.full && this.#putAhead(batch));
    if (!this.#pushing) return;
    while (!batch.full && this.#cursor !== -1 && this.#cursor < lazy.pageCount) {
      const page = this.#pages.nextPopulated(this.#cursor);
      if (page !== -1 && !lazy.sent.has(page)) {
        this.#put(batch, lazy, page);
        this.#pushed++;
      }
      this.#cursor = page === -1 ? -1 : page + 1;
    }
  }

  #endWhenRead(): void {
    if (this.#slicesRead < this.#slicesSent || this.#waiting.length > 0) return;
    this.#state = 'ending';
    this.#write(encodeEnd(this.#saved.ram));
  }

  #put(batch: PageBatch, block: ServedBlock, page: number): void {
    block.sent.add(page);
    batch.add(block.name, page * PAGE_BYTES, block.read(page));
  }

  #sendSlice(batch: PageBatch, ping?: number): void {
    this.#write(batch.finish(ping), () => {
      this.#slices.give(batch);
      this.#progress();
      this.#push();
    });
  }

  #write(bytes: Uint8Array, done: () => void = () => {}): void {
    if (this.#state === 'ended') return;
    this.#bytesSent += bytes.length;
    this.#connection.write(bytes, (error) => {
      if (error) this.#fail(restoreFailed('the connection to the VM broke', error));
      else this.#guard(done);
    });
  }

  #guard(action: () => void): void {
    if (this.#state === 'ended') return;
    try {
      action();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#slices.close(error);
    this.#ending.reject(error);
  }

  #progress(): void {
    this.#watchdog?.refresh();
  }

  #elapsedMs(): number {
    return performance.now() - this.#beganMs;
  }

  #statistics(): RestoreStatistics {
    return {
      requests: this.#requests,
      requestedPages: this.#requestedPages,
      sentAhead: this.#sentAhead,
      answered: this.#answered,
      pushed: this.#pushed,
      bytesSent: this.#bytesSent,
      untilSentMs: this.#untilSentMs,
      untilRunningMs: this.#untilRunningMs,
      untilLoadedMs: this.#elapsedMs(),
      requestLatencyUs: summarize(this.#waitsMs),
    };
  }
}
