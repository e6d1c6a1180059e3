import { open, readFile } from 'node:fs/promises';
import { systemErrorCode } from '@dormouse/errors';
import { replaceFile } from '@dormouse/rootfs';
import { z } from 'zod';
import { SerialQueue } from '../concurrency/serial-queue.js';
import type { SandboxLog } from '../config/sandbox-log.js';

/** What a host does with sandboxes by itself. */
export const HOST_EVENT_KINDS = [
  'auto_paused',
  'killed',
  'pause_failed',
  'stopped',
  'restored_again',
  'rebooted',
  'stays_paused',
  'paused_with_host',
  'resumed_with_host',
  'vm_ended',
] as const;

export type HostEventKind = (typeof HOST_EVENT_KINDS)[number];

/** Something that is about to be told. */
export interface NewHostEvent {
  readonly kind: HostEventKind;
  readonly sandboxId: string;
  readonly generation: number;
  /** May be empty. */
  readonly reason: string;
  /** Two events of one key are one event told twice, before a crash and after it. */
  readonly key?: string | undefined;
}

/** Something that has happened. */
export interface HostEvent extends NewHostEvent {
  /** Counts up, never starts over. */
  readonly number: number;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** Of a host whose control plane stays away for long, the oldest events go. */
const MAX_EVENTS = 10_000;

const headSchema = z.object({ version: z.literal(1), next: z.int().min(1) });
const eventSchema: z.ZodType<HostEvent> = z.object({
  number: z.int().min(1),
  kind: z.enum(HOST_EVENT_KINDS),
  sandboxId: z.string(),
  generation: z.int(),
  reason: z.string(),
  key: z.string().optional(),
  atMs: z.int(),
});

/**
 * What the host has done by itself and nobody has acknowledged yet: a file of lines, each synced before anybody hears
 * of it. The first line says which number comes next, so that numbers never come twice.
 */
export class HostEvents {
  readonly #path: string;
  readonly #log: SandboxLog;
  readonly #queue = new SerialQueue();
  readonly #waiting = new Set<() => void>();
  #events: HostEvent[];
  #next: number;
  /** The file holds what is known, and a line can be added to it; else it is written anew. */
  #isWhole = false;

  private constructor(path: string, log: SandboxLog, events: HostEvent[], next: number) {
    this.#path = path;
    this.#log = log;
    this.#events = events;
    this.#next = next;
  }

  /** Reads what an earlier agent has left. A line that a crash has torn was never told to anybody. */
  static async open(path: string, log: SandboxLog): Promise<HostEvents> {
    const { events, next, damaged } = parse(await readOrEmpty(path));
    if (damaged) log.warn({ path }, 'the log of events is damaged; what can be read of it is kept');
    return new HostEvents(path, log, events, next);
  }

  /** What nobody has acknowledged yet, oldest first. @param after only what has a greater number */
  pending(after = 0): readonly HostEvent[] {
    return this.#events.filter(({ number }) => number > after);
  }

  /** Adds an event; when this returns it survives a power cut. One of a key that is there already is not added. */
  append(event: NewHostEvent): Promise<void> {
    return this.#queue.run(async () => {
      if (event.key !== undefined && this.#events.some(({ key }) => key === event.key)) return;
      const added: HostEvent = { ...event, number: this.#next, atMs: Date.now() };
      this.#next += 1;
      const full = this.#events.length >= MAX_EVENTS;
      if (full) this.#log.warn({ events: MAX_EVENTS }, 'nobody acknowledges events; the oldest ones go');
      await this.#write([...this.#events.slice(full ? MAX_EVENTS / 10 : 0), added], full ? undefined : added);
      for (const wake of this.#waiting) wake();
    });
  }

  /** Forgets everything up to a number. */
  acknowledge(number: number): Promise<void> {
    return this.#queue.run(async () => {
      const left = this.#events.filter((event) => event.number > number);
      if (left.length < this.#events.length) await this.#write(left, undefined);
    });
  }

  /** Resolves when there is an event after this number, when the time is over, or when the signal fires. */
  async changed(after: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || (this.#events.at(-1)?.number ?? 0) > after) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener('abort', done);
      this.#waiting.add(done);
    });
  }

  /** @param added what alone is new, where nothing else has changed */
  async #write(events: HostEvent[], added: HostEvent | undefined): Promise<void> {
    const isWhole = this.#isWhole;
    // Whatever of a line is there when adding it fails must not stay in the middle.
    this.#isWhole = false;
    if (added !== undefined && isWhole) await appendDurably(this.#path, lineOf(added));
    else {
      const head = lineOf({ version: 1, next: this.#next });
      await replaceFile(this.#path, head + events.map(lineOf).join(''), 0o600);
    }
    this.#isWhole = true;
    this.#events = events;
  }
}

async function appendDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'a');
  try {
    await file.write(text);
    await file.datasync();
  } finally {
    await file.close();
  }
}

function lineOf(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}

function parse(text: string): { events: HostEvent[]; next: number; damaged: boolean } {
  if (text === '') return { events: [], next: 1, damaged: false };
  const [head = '', ...lines] = text.split('\n').slice(0, -1).map(parseLine);
  const { data: start } = headSchema.safeParse(head);
  const results = lines.map((line) => eventSchema.safeParse(line));
  const events = results.flatMap(({ data }) => (data === undefined ? [] : [data]));
  const damaged = start === undefined || events.length < lines.length;
  const seen = Math.max(start?.next ?? 1, (events.at(-1)?.number ?? 0) + 1);
  // Numbers that came twice would be taken for events that are known: the clock is ahead of every count.
  return { events, next: damaged ? Math.max(seen, Date.now()) : seen, damaged };
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
