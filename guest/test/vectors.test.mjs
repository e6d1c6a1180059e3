// frames.json against the header and against a living agent.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { startConfined } from './confined.mjs';
import { CODES, Host, OP, u8, u32 } from './host.mjs';

const golden = JSON.parse(fs.readFileSync(new URL('../vectors/frames.json', import.meta.url), 'utf8'));
const header = fs.readFileSync(new URL('../src/protocol.h', import.meta.url), 'utf8');
let confined;

before(async () => {
  confined = await startConfined();
});
after(async () => {
  if (!confined) return;
  const host = await (await Host.connect(confined.socket)).greet();
  await host.open(OP.SHUTDOWN, [u8(0), u32(0)]).closed;
  assert.equal(await confined.exited, 0);
  confined.remove();
});

/** A connection greeted with the vectors' epoch: everything that comes back after the WELCOME. */
async function greeted() {
  const socket = net.connect(confined.socket);
  const connection = { socket, bytes: Buffer.alloc(0), wake: () => {} };
  socket.on('data', (b) => {
    connection.bytes = Buffer.concat([connection.bytes, b]);
    connection.wake();
  });
  connection.until = async (test, ms = 5000) => {
    const end = Date.now() + ms;
    while (!test(connection.bytes)) {
      if (Date.now() > end) return false;
      await new Promise((resolve) => {
        connection.wake = resolve;
        setTimeout(resolve, 50);
      });
    }
    return true;
  };
  await new Promise((resolve) => socket.once('connect', resolve));
  return connection;
}
const vector = (name) => Buffer.from(golden.vectors.find((v) => v.name === name).hex, 'hex');
const PONG = vector('pong');

test('the file is what its generator writes', () => {
  execFileSync(process.execPath, [new URL('../vectors/generate.mjs', import.meta.url).pathname, '--check']);
});

test('protocol.h has the same numbers', () => {
  const number = (name) => {
    const m = header.match(new RegExp(`\\b${name}\\b\\s*=?\\s*(\\d+)`));
    assert.ok(m, name);
    return Number(m[1]);
  };
  for (const [name, value] of Object.entries(golden.operations)) assert.equal(number(`OP_${name}`), value);
  for (const [name, value] of Object.entries(golden.messages)) assert.equal(number(`MESSAGE_${name}`), value);
  for (const [name, value] of Object.entries(golden.resultCodes))
    assert.equal(number(`RESULT_${name.toUpperCase()}`), value);
  for (const [name, value] of Object.entries(golden.frameTypes)) assert.equal(number(`FRAME_${name}`), value);
  const limits = {
    MAX_PAYLOAD: 'maxPayload',
    MAX_DATA_TO_HOST: 'maxDataToHost',
    MAX_DATA_TO_GUEST: 'maxDataToGuest',
    INITIAL_CREDIT_TO_GUEST: 'initialCreditToGuest',
    MAX_STREAMS: 'maxStreams',
    MAX_PING: 'maxPing',
    MAX_PATH_BYTES: 'maxPath',
  };
  for (const [name, key] of Object.entries(limits)) assert.equal(number(name), golden.limits[key]);
  assert.deepEqual(Object.keys(golden.resultCodes), CODES);
});

for (const v of golden.vectors.filter((x) => x.what === 'greeting')) {
  test(v.name, async (t) => {
    if (!confined) return t.skip('needs root');
    const c = await greeted();
    c.socket.write(Buffer.from(v.hex, 'hex'));
    if (v.verdict === 'welcome') {
      assert.ok(await c.until((b) => b.length >= 32));
      assert.equal(c.bytes.toString('hex'), v.answerHex);
    }
    c.socket.write(vector('ping'));
    assert.equal(await c.until((b) => b.includes(PONG), v.speaks ? 5000 : 300), v.speaks === true);
    c.socket.destroy();
  });
}

for (const v of golden.vectors.filter((x) => x.what === 'malformed')) {
  test(`malformed: ${v.name}`, async (t) => {
    if (!confined) return t.skip('needs root');
    const c = await greeted();
    c.socket.write(vector('hello'));
    await c.until((b) => b.length >= 32);
    c.socket.write(Buffer.from(v.hex, 'hex'));
    if (v.verdict === 'close') {
      assert.ok(await c.until((b) => b.length >= 32 + 28));
      assert.deepEqual(
        [c.bytes.readUInt32LE(36), c.bytes[40], c.bytes.readUInt16LE(44)],
        [v.stream, 6, golden.resultCodes[v.code]],
      );
    }
    c.socket.write(vector('ping'));
    assert.equal(
      await c.until((b) => b.includes(PONG), v.verdict === 'hunt' ? 300 : 5000),
      v.verdict !== 'hunt',
    );
    if (v.verdict === 'hunt') {
      c.socket.write(Buffer.concat([Buffer.alloc(262160, 0xff), vector('hello'), vector('ping')]));
      assert.ok(await c.until((b) => b.includes(PONG)));
    }
    c.socket.destroy();
  });
}

test('every OPEN of the vectors is understood', async (t) => {
  if (!confined) return t.skip('needs root');
  const c = await greeted();
  c.socket.write(vector('hello'));
  const opens = golden.vectors.filter((v) => v.op && v.op !== 'SHUTDOWN');
  for (const v of opens) c.socket.write(Buffer.from(v.hex, 'hex'));
  // Whatever goes on by itself is asked to stop.
  for (const v of opens)
    c.socket.write(
      Buffer.concat([u32(0), u32(v.frame.stream), u8(6), u8(0), Buffer.alloc(2), u32(golden.epoch)]),
    );
  const results = new Map();
  assert.ok(
    await c.until((b) => {
      for (let at = 32; at + 16 <= b.length; ) {
        const length = b.readUInt32LE(at);
        if (at + 16 + length > b.length) break;
        assert.equal(b.readUInt32LE(at + 12 + length), golden.epoch);
        if (b[at + 8] === 6)
          results.set(b.readUInt32LE(at + 4), b.subarray(at + 24, at + 12 + length).toString());
        at += 16 + length;
      }
      return results.size === opens.length;
    }),
    `closed: ${results.size} of ${opens.length}`,
  );
  for (const v of opens)
    assert.ok(
      !['malformed arguments', 'malformed address', 'unknown operation'].includes(
        results.get(v.frame.stream),
      ),
      v.name,
    );
  c.socket.destroy();
});
