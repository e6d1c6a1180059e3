/** One server-sent event, as far as ours use it. */
export interface ServerSentEvent {
  readonly id: string | undefined;
  readonly data: string;
}

/** An event is some hundred bytes; what is far longer is no stream of ours. */
const MAX_EVENT_CHARS = 1024 * 1024;

/**
 * Reads server-sent events from bytes (HTML standard, section 9.2.6). Comments are left out.
 *
 * @param onSign called at every piece, so that a stream on which nothing moves can be told from a quiet one
 * @throws Error for a stream that is none
 */
export async function* serverSentEvents(
  bytes: ReadableStream<Uint8Array>,
  onSign: () => void,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of bytes) {
    onSign();
    text = (text + decoder.decode(piece, { stream: true })).replaceAll('\r\n', '\n');
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const event = parse(text.slice(0, end));
      text = text.slice(end + 2);
      if (event !== undefined) yield event;
    }
    if (text.length > MAX_EVENT_CHARS) throw new Error('an event of the stream never ends');
  }
}

function parse(block: string): ServerSentEvent | undefined {
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [, name, value = ''] = /^(id|data):? ?(.*)$/.exec(line) ?? [];
    if (name === 'id') id = value;
    if (name === 'data') data.push(value);
  }
  return data.length === 0 ? undefined : { id, data: data.join('\n') };
}
