import { expect, test } from 'vitest';
import { Client, type SandboxEvent } from './index.js';
import {
  type Answer,
  apiError,
  json,
  noContent,
  ScriptedServer,
  wireEvent,
  wireSandbox,
} from './testing/scripted-server.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';
const options = (server: ScriptedServer) => ({ apiUrl: server.url, apiKey: 'dor_key' });
const page = (ids: readonly number[], next: string | null = null) =>
  json(200, { events: ids.map((id) => wireEvent(id)), next_cursor: next });
const text = (id: number, type?: string) =>
  `id: ${id}\nevent: x\ndata: ${JSON.stringify(wireEvent(id, type))}\n\n`;

/** A stream in pieces, which breaks off at its end or, when `open`, goes on for ever. */
const stream =
  (pieces: readonly string[], open = false): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of pieces) response.write(piece);
    if (!open) setTimeout(() => response.destroy(), 20);
  };

async function take(events: AsyncGenerator<SandboxEvent>, count: number): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of events) {
    ids.push(id);
    if (ids.length === count) break;
  }
  return ids;
}

test('events are followed from now on, over connections that break, without gap or repetition', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    page([7]),
    stream([': hello\n\n', text(8).slice(0, 40), text(8).slice(40) + text(9), text(10).slice(0, 30)]),
    apiError(500, 'internal', 'its database is restarting'),
    stream([text(10)], true),
  ]);
  const sandbox = await new Client(options(server)).sandboxes.connect(ID);
  expect(await take(sandbox.events(), 3)).toEqual(['8', '9', '10']);
  expect(server.requests.slice(1).map(({ url }) => url)).toEqual([
    `/v1/sandboxes/${ID}/events?limit=1`,
    ...Array(server.requests.length - 2).fill(`/v1/sandboxes/${ID}/events`),
  ]);
  expect(server.requests.slice(2).map(({ headers }) => headers['last-event-id'])).toEqual(['7', '9', '9']);
});

test('a sandbox that is deleted has no more events', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    stream([text(1), text(2, 'sandbox.deleted')], true),
  ]);
  const sandbox = await new Client(options(server)).sandboxes.connect(ID);
  expect(await take(sandbox.events({ after: '0' }), 99)).toEqual(['1', '2']);
});

test('a signal ends following, a refusal is an error', async () => {
  await using server = await ScriptedServer.start([stream([text(1)], true)]);
  const stop = new AbortController();
  const seen: SandboxEvent[] = [];
  for await (const event of new Client(options(server)).events.follow({ after: '0', signal: stop.signal })) {
    seen.push(event);
    stop.abort();
  }
  expect(seen).toMatchObject([{ id: '1', sandboxId: ID, data: { some_key: 'kept as it is' } }]);
  await using refusing = await ScriptedServer.start([apiError(404, 'not_found', 'there is none')]);
  await expect(take(new Client(options(refusing)).events.follow(), 1)).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('what has happened comes page by page, and a ping is sent again over a broken connection', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    page([3, 2], 'c2'),
    page([1]),
    (_request, response) => void response.destroy(),
    noContent,
  ]);
  const sandbox = await new Client(options(server)).sandboxes.connect(ID);
  expect(await take(sandbox.pastEvents(), 99)).toEqual(['3', '2', '1']);
  await sandbox.ping();
  expect(server.requests.slice(3).map(({ method, url }) => [method, url])).toEqual([
    ['POST', `/v1/sandboxes/${ID}/ping`],
    ['POST', `/v1/sandboxes/${ID}/ping`],
  ]);
});

test('usage is read', async () => {
  const counted = { used: 1, limit: null };
  await using server = await ScriptedServer.start([
    json(200, { running: counted, paused: counted, snapshot_bytes: counted }),
  ]);
  expect((await new Client(options(server)).usage()).snapshotBytes).toEqual(counted);
});
