import { EXEC_STREAM_CLOSE } from '@dormouse/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RawData, WebSocket } from 'ws';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { guestScript } from '../testing/guest-script.js';
import { newPerson } from '../testing/people.js';

/** Conversations; more with DORMOUSE_FUZZ_RUNS. */
const RUNS = Number(process.env.DORMOUSE_FUZZ_RUNS ?? 150);

/** A stream that has everything it needs ends at once; one that does not is ended by its client. */
const PATIENCE_MS = 200;

/** How a stream may end: as documented, by its client, or by the protocol underneath. */
const CLOSE_CODES = new Set<number>([1000, 1005, 1006, 1007, 1009, ...Object.values(EXEC_STREAM_CLOSE)]);

let plane: TestControlPlane;
let url: string;
let token: string;
let strangers: readonly string[];
beforeAll(async () => {
  plane = await startTestControlPlane();
  plane.host.script(guestScript());
  const id = await plane.createSandbox();
  token = plane.team.key;
  const theirs = await newPerson(plane, 'them');
  url = `${plane.url.replace('http', 'ws')}/v1/sandboxes/${id}/exec/stream`;
  strangers = [theirs.token, 'dor_x', 'eyJ.eyJ.eyJ', ''];
}, 60_000);
afterAll(() => plane.close(), 60_000);

/** What is enough to run something, for who may. */
const START = JSON.stringify({ type: 'start', cmd: 'true', stdin: false });

/** Messages that mostly are of the protocol. */
function message(): fc.Arbitrary<string | Buffer> {
  const text = fc.string({ unit: 'binary', maxLength: 20 });
  const known = fc.oneof(
    fc.record({ type: fc.constant('auth'), token: fc.constantFrom(token, ...strangers) }),
    fc.record(
      { type: fc.constant('start'), cmd: text, stdin: fc.boolean() },
      { requiredKeys: ['type', 'cmd'] },
    ),
    fc.record({ type: fc.constant('attach'), pid: fc.integer() }),
    fc.record({ type: fc.constant('stdin'), data: text }),
    fc.constantFrom(
      { type: 'close_stdin' },
      { type: 'signal', name: 'SIGINT' },
      { type: 'signal', name: 'x' },
    ),
    fc.record({ type: fc.constant('resize'), cols: fc.integer(), rows: fc.integer() }),
  );
  return fc.oneof(
    { weight: 6, arbitrary: known.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.json() },
    { weight: 1, arbitrary: text },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)) },
  );
}

/** Says everything at once and listens to the end. */
function converse(
  known: boolean,
  messages: readonly (string | Buffer)[],
): Promise<{ code: number; said: string[] }> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, known ? { headers: { authorization: `Bearer ${token}` } } : {});
    const said: string[] = [];
    socket.on('open', () => {
      for (const one of messages) socket.send(one);
      setTimeout(() => socket.terminate(), PATIENCE_MS);
    });
    socket.on('message', (data: RawData) => said.push(String(data)));
    socket.on('error', reject);
    socket.on('close', (code) => resolve({ code, said }));
  });
}

test('hazard 14: whatever is said to an exec stream, it ends as documented, and nothing runs for a stranger', async () => {
  let ran = 0;
  let refused = 0;
  const conversation = fc.tuple(fc.boolean(), fc.array(message(), { maxLength: 5 }));
  await fc.assert(
    fc.asyncProperty(conversation, async ([known, messages]) => {
      const { code, said } = await converse(known, messages);
      expect(CLOSE_CODES).toContain(code);
      for (const text of said) expect(JSON.parse(text)).toHaveProperty('type');
      const started = said.some((text) => text.includes('"start"'));
      const introduced = messages[0] === JSON.stringify({ type: 'auth', token });
      if (started) expect(known || introduced).toBe(true);
      ran += started ? 1 : 0;
      refused += code > 4000 ? 1 : 0;
    }),
    { numRuns: RUNS, endOnFailure: true, examples: [[[true, [START]]], [[false, [START]]]] },
  );
  // Conversations that all fail, or all succeed, would prove little.
  expect(ran).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
  expect(plane.logged()).not.toContain('exec stream failed');
  expect((await plane.request('/v1/sandboxes')).status).toBe(200);
}, 600_000);
