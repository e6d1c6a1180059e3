// Anything may arrive on the link (hazard 15 from the other side): the sanitizer
// build must live on, answer a fresh greeting, and leak nothing.
// FUZZ_SECONDS= (default 20) and FUZZ_SEED= choose how long and from where.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { startConfined } from './confined.mjs';
import { Host, OP, u8, u16, u32 } from './host.mjs';

const SECONDS = Number(process.env.FUZZ_SECONDS ?? 20);
const golden = JSON.parse(fs.readFileSync(new URL('../vectors/frames.json', import.meta.url), 'utf8'));
const fromHost = golden.vectors
  .filter((v) => v.what === 'frame' && v.direction === 'host-to-guest' && v.op !== 'SHUTDOWN')
  .map((v) => Buffer.from(v.hex, 'hex'));
let state = Number(process.env.FUZZ_SEED ?? 1) >>> 0 || 1;
let confined;

const random = (n) => {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % n;
};
const noise = (n) => {
  const b = Buffer.alloc(n);
  for (let i = 0; i < n; i++) b[i] = random(256);
  return b;
};
const NUMBERS = [
  0, 1, 2, 3, 0x7f, 0xff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 4096, 65536, 262144,
];

function mutate(source) {
  const b = Buffer.from(source);
  for (let i = random(4); i >= 0 && b.length; i--) {
    const at = random(b.length);
    if (random(3) === 0 && at + 4 <= b.length) b.writeUInt32LE(NUMBERS[random(NUMBERS.length)], at);
    else b[at] = random(2) ? random(256) : b[at] ^ (1 << random(8));
  }
  return random(6) ? b : b.subarray(0, random(b.length + 1));
}

/** Payloads that pass the frame's checks, so that operations see the nonsense. */
function framed(host, source) {
  let payload = source.subarray(12, source.length - 4);
  const type = source[8];
  if (random(3)) payload = mutate(payload);
  if (type === 1 && payload.length >= 2 && payload.readUInt16LE(0) === OP.SHUTDOWN)
    payload.writeUInt16LE(OP.INFO, 0);
  const stream = type === 1 ? ++host.lastId : type >= 7 ? 0 : 1 + random(host.lastId + 1);
  return Buffer.concat([u32(payload.length), u32(stream), u8(type), u8(0), u16(0), payload, u32(host.epoch)]);
}

before(async () => {
  confined = await startConfined();
});
after(() => confined?.remove());

async function session() {
  const host = await Host.connect(confined.socket);
  host.dispatch = () => {};
  const greeting = host.greet({ padding: random(2) === 0 });
  assert.notEqual(
    await Promise.race([greeting, new Promise((r) => setTimeout(r, 10_000, 'silent').unref())]),
    'silent',
    'no answer to a greeting',
  );
  return host;
}

test(`${SECONDS} s of nonsense`, { timeout: (SECONDS + 60) * 1000 }, async (t) => {
  if (!confined) return t.skip('needs root');
  const end = Date.now() + SECONDS * 1000;
  let rounds = 0;
  for (; Date.now() < end; rounds++) {
    const host = await session();
    const style = random(8);
    for (let i = 0; i < 40 && !host.broken; i++) {
      if (style === 0) host.socket.write(noise(random(4000)));
      else if (style === 1) host.socket.write(mutate(fromHost[random(fromHost.length)]));
      else host.socket.write(framed(host, fromHost[random(fromHost.length)]));
      if (random(8) === 0) await new Promise((r) => setImmediate(r));
    }
    if (random(2)) await Promise.race([host.ping(), new Promise((r) => setTimeout(r, 100))]);
    host.close();
    assert.equal(confined.agent.exitCode, null, `the agent ended in round ${rounds}`);
  }
  const host = await Host.connect(confined.socket);
  await host.greet();
  await host.call(OP.INFO);
  const pids = fs.readdirSync('/proc').filter((p) => /^\d+$/.test(p));
  const rss = Math.max(
    ...pids.map((p) => {
      try {
        return fs.readlinkSync(`/proc/${p}/root`) === confined.root &&
          fs.readFileSync(`/proc/${p}/comm`, 'utf8').startsWith('confined')
          ? Number(fs.readFileSync(`/proc/${p}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1])
          : 0;
      } catch {
        return 0;
      }
    }),
  );
  assert.ok(rss > 0 && rss < 600_000, `resident: ${rss} KiB`);
  await host.call(OP.SHUTDOWN, [u8(0), u32(0)]);
  assert.equal(await confined.exited, 0, 'the sanitizer found something (see above)');
  t.diagnostic(`${rounds} sessions, ${rss} KiB resident`);
});
