import type { Event } from '@dormouse/contracts';

/** A live stream of events, as a client reads it. */
export class EventReader implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = '';

  /** @throws Error for an answer that is none */
  constructor(response: Response) {
    const type = response.headers.get('content-type');
    if (response.body === null || type !== 'text/event-stream') throw new Error(`no stream: ${type}`);
    this.#reader = response.body.getReader();
  }

  /** The next events. @throws Error when the stream ends before */
  async next(count: number): Promise<Event[]> {
    const events: Event[] = [];
    while (events.length < count) {
      const event = await this.#nextOrEnd();
      if (event === undefined) throw new Error('the stream has ended');
      events.push(event);
    }
    return events;
  }

  /** Whether the stream ends, without another event. */
  async ends(): Promise<boolean> {
    return (await this.#nextOrEnd()) === undefined;
  }

  async #nextOrEnd(): Promise<Event | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data !== undefined) return JSON.parse(data) as Event;
        continue;
      }
      const { value, done } = await this.#reader.read();
      if (done) return undefined;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel();
  }
}
