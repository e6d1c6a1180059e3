import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Change, Entry } from './file-codec.js';
import type { Guest } from './guest.js';
import { GuestError } from './guest-error.js';
import { canRunAgent, outcome, RealAgent } from './testing/real-agent.js';

const NOBODY = 65_534;

async function content(data: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of data) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe.skipIf(!canRunAgent)('files of the real agent', () => {
  let agent: RealAgent;
  let guest: Guest;

  beforeAll(async () => {
    agent = await RealAgent.start(['--mount']);
    chmodSync(agent.folder, 0o755);
    guest = await agent.connect();
  }, 180_000);

  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
  });

  test('hazard 13: bytes are written and read exactly', async () => {
    const path = agent.path('bytes');
    const bytes = randomBytes(5_000_001);
    const source = async function* (): AsyncGenerator<Uint8Array> {
      // One buffer for all chunks: it may be used again when the next is asked for.
      const buffer = Buffer.alloc(70_000);
      for (let at = 0; at < bytes.length; at += buffer.length) {
        const length = bytes.copy(buffer, 0, at);
        yield buffer.subarray(0, length);
      }
    };
    const entry = await guest.writeFile(path, source());
    expect(entry).toMatchObject({
      type: 'file',
      targetType: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      sizeBytes: 5_000_001n,
      name: 'bytes',
      path,
      owner: 'root',
      group: 'root',
      symlinkTarget: '',
    });
    expect(Math.abs(entry.modifiedSeconds - Date.now() / 1_000)).toBeLessThan(60);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    const file = await guest.readFile(path);
    expect(file.entry).toEqual(entry);
    expect((await content(file.data)).equals(bytes)).toBe(true);
    const part = await guest.readFile(path, { offset: 1_000_000, length: 100_000n });
    expect((await content(part.data)).equals(bytes.subarray(1_000_000, 1_100_000))).toBe(true);
    const beyond = await guest.readFile(path, { offset: 9_000_000n });
    expect((await content(beyond.data)).length).toBe(0);
  });

  test('a file of 200 MB goes through with the window as bound', async () => {
    const path = agent.path('large');
    const block = randomBytes(1_000_000);
    const sent = createHash('sha256');
    await guest.writeFile(
      path,
      (async function* () {
        for (let index = 0; index < 200; index += 1) {
          sent.update(block);
          yield block;
        }
      })(),
    );
    const received = createHash('sha256');
    for await (const chunk of (await guest.readFile(path)).data) received.update(chunk);
    expect(received.digest('hex')).toBe(sent.digest('hex'));
    await guest.remove(path);
  });

  test('writing: parents, mode, append, offset, owner', async () => {
    const path = agent.path('made/by/nobody/file');
    const entry = await guest.writeFile(path, Buffer.from('0123456789'), {
      user: 'nobody',
      parents: true,
      mode: 0o600,
    });
    expect(entry).toMatchObject({ mode: 0o600, uid: NOBODY, owner: 'nobody', sizeBytes: 10n });
    expect(statSync(agent.path('made/by')).uid).toBe(NOBODY);
    expect(statSync(agent.path('made/by')).mode & 0o7777).toBe(0o755);
    await guest.writeFile(path, Buffer.from('ab'), { append: true });
    await guest.writeFile(path, Buffer.from('XY'), { offset: 3n });
    expect(readFileSync(path, 'utf8')).toBe('012XY56789ab');
    expect(await guest.writeFile(path, new Uint8Array())).toMatchObject({
      sizeBytes: 0n,
      uid: NOBODY,
      mode: 0o600,
    });
  });

  test.each<[string, (guest: Guest, path: (name: string) => string) => Promise<unknown>, string, string]>([
    ['stat of nothing', (g, p) => g.stat(p('nothing')), 'not_found', 'not_found'],
    ['read of a directory', (g, p) => g.readFile(p('')), 'is_directory', 'invalid_request'],
    [
      'write of a directory',
      (g, p) => g.writeFile(p(''), new Uint8Array(1)),
      'is_directory',
      'invalid_request',
    ],
    ['write without a parent', (g, p) => g.writeFile(p('no/x'), new Uint8Array(1)), 'not_found', 'not_found'],
    ['list of a file', (g) => g.list('/etc/passwd').next(), 'not_directory', 'invalid_request'],
    ['unknown user', (g, p) => g.stat(p(''), { user: 'nobody-here' }), 'unknown_user', 'invalid_request'],
    ['directory that exists', (g, p) => g.makeDirectory(p('')), 'already_exists', 'already_exists'],
    ['removal of /', (g) => g.remove('/'), 'invalid_argument', 'invalid_request'],
    ['removal of nothing', (g, p) => g.remove(p('nothing')), 'not_found', 'not_found'],
    ['NUL', (g) => g.stat('/a\0b'), 'invalid_argument', 'invalid_request'],
    [
      'a path that is too long',
      (g) => g.stat(`/${'a'.repeat(4_096)}`),
      'invalid_argument',
      'invalid_request',
    ],
  ])('refused: %s', async (_, operation, result, code) => {
    const error: unknown = await operation(guest, (name) => agent.path(name)).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(GuestError);
    expect(error).toMatchObject({ result, code });
  });

  test('the guest says why and of what', async () => {
    const path = agent.path('nothing');
    await expect(guest.stat(path)).rejects.toMatchObject({
      errno: 2,
      message: expect.stringContaining(path),
    });
  });

  test('directories are listed in order, deep as asked, with names that are not UTF-8', async () => {
    const root = agent.path('tree');
    for (const name of ['b/inner/deep', 'a']) mkdirSync(`${root}/${name}`, { recursive: true });
    writeFileSync(`${root}/b/file`, '');
    symlinkSync('b', `${root}/c`);
    symlinkSync('nowhere', `${root}/d`);
    const raw = Buffer.concat([Buffer.from(`${root}/`), Buffer.of(0xff, 0x62)]);
    await guest.writeFile(raw, Buffer.from('x'));
    const names = async (depth: number): Promise<string[]> => {
      const entries: Entry[] = [];
      for await (const entry of guest.list(root, { depth })) entries.push(entry);
      return entries.map(({ path }) => path.slice(root.length + 1));
    };
    expect(await names(1)).toEqual(['a', 'b', 'c', 'd', '\ufffdb']);
    const deep = await names(3);
    expect(deep.filter((name) => name.includes('/'))).toEqual(['b/file', 'b/inner', 'b/inner/deep']);
    const entries = new Map<string, Entry>();
    for await (const entry of guest.list(root)) entries.set(entry.name, entry);
    expect(entries.get('c')).toMatchObject({
      type: 'symlink',
      targetType: 'directory',
      symlinkTarget: `${root}/b`,
    });
    expect(entries.get('d')).toMatchObject({
      type: 'symlink',
      targetType: 'broken',
      symlinkTarget: 'nowhere',
    });
    const odd = entries.get('\ufffdb');
    expect(Buffer.from(odd?.rawPath ?? []).equals(raw)).toBe(true);
    expect(await content((await guest.readFile(odd?.rawPath ?? '')).data)).toEqual(Buffer.from('x'));
  });

  test('hazard 12: a list of many entries waits for its reader while others are answered', async () => {
    const root = agent.path('many');
    mkdirSync(root);
    for (let index = 0; index < 5_000; index += 1)
      writeFileSync(`${root}/${String(index).padStart(5, '0')}`, '');
    let count = 0;
    for await (const entry of guest.list(root)) {
      expect(entry.name).toBe(String(count).padStart(5, '0'));
      if (count % 1_000 === 0) await guest.stat(root);
      count += 1;
    }
    expect(count).toBe(5_000);
    await guest.remove(root, { recursive: true });
  });

  test('making, renaming, changing and removing', async () => {
    const made = await guest.makeDirectory(agent.path('x/y'), { parents: true, mode: 0o700, user: 'nobody' });
    expect(made).toMatchObject({ type: 'directory', mode: 0o700, owner: 'nobody', name: 'y' });
    expect(await guest.makeDirectory(agent.path('plain'))).toMatchObject({ mode: 0o755, owner: 'root' });
    await expect(guest.makeDirectory('/etc/passwd')).rejects.toMatchObject({ result: 'not_directory' });
    await guest.writeFile(agent.path('x/y/f'), Buffer.from('1'));
    expect(await guest.rename(agent.path('x/y/f'), agent.path('new/parents/g'))).toMatchObject({ name: 'g' });
    expect(readFileSync(agent.path('new/parents/g'), 'utf8')).toBe('1');
    expect(await guest.chmod(agent.path('new/parents/g'), 0o4711)).toMatchObject({ mode: 0o4711 });
    const owned = await guest.chown(
      agent.path('new'),
      { owner: 'nobody', group: 'root' },
      { recursive: true },
    );
    expect(owned).toMatchObject({ owner: 'nobody', group: 'root' });
    expect(await guest.stat(agent.path('new/parents/g'))).toMatchObject({ uid: NOBODY, gid: 0 });
    expect(await guest.symlink('../plain', agent.path('x/link'), { user: 'nobody' })).toMatchObject({
      type: 'symlink',
      targetType: 'directory',
      symlinkTarget: agent.path('plain'),
    });
    await expect(guest.remove(agent.path('x'))).rejects.toMatchObject({
      result: 'not_empty',
      code: 'invalid_request',
    });
    await guest.remove(agent.path('x'), { recursive: true });
    await expect(guest.stat(agent.path('x'))).rejects.toMatchObject({ result: 'not_found' });
    expect(statSync(agent.path('plain')).isDirectory()).toBe(true);
  });

  test('extended attributes, where the file system has them', async (context) => {
    const path = agent.path('attributes');
    await guest.writeFile(path, new Uint8Array());
    const value = Uint8Array.of(0, 255, 10, 128);
    try {
      await guest.setXattr(path, 'user.dormouse.kind', value);
    } catch (error) {
      expect(error).toMatchObject({ result: 'unsupported' });
      return context.skip();
    }
    await guest.setXattr(path, 'user.empty', new Uint8Array());
    expect(await guest.getXattrs(path)).toEqual(
      new Map([
        ['user.dormouse.kind', value],
        ['user.empty', new Uint8Array()],
      ]),
    );
    await guest.setXattr(path, 'user.empty', undefined);
    expect([...(await guest.getXattrs(path)).keys()]).toEqual(['user.dormouse.kind']);
  });

  test('changes of a directory are told from the moment the watch stands', async () => {
    const root = agent.path('watched');
    mkdirSync(`${root}/sub`, { recursive: true });
    const watch = await guest.watch(root, { recursive: true });
    const changes = watch[Symbol.asyncIterator]();
    const until = async (kind: Change['kind'], name: string): Promise<void> => {
      for (;;) {
        const next = await changes.next();
        if (next.done === true) throw new Error(`the watch ended without ${kind} ${name}`);
        if (next.value.kind === kind && next.value.name === name) return;
      }
    };
    await guest.writeFile(`${root}/a`, Buffer.from('1'));
    await until('create', 'a');
    await until('write', 'a');
    await guest.chmod(`${root}/a`, 0o600);
    await until('chmod', 'a');
    writeFileSync(`${root}/sub/inner`, '');
    await until('create', 'sub/inner');
    await guest.makeDirectory(`${root}/late`);
    await until('create', 'late');
    await guest.rename(`${root}/a`, `${root}/b`);
    await until('rename', 'a');
    await guest.remove(`${root}/b`);
    await until('remove', 'b');
    await watch[Symbol.asyncDispose]();
    expect((await changes.next()).done).toBe(true);
    await expect(guest.watch(agent.path('nothing'))).rejects.toMatchObject({ result: 'not_found' });
    await expect(guest.watch('/etc/passwd')).rejects.toMatchObject({ result: 'not_directory' });
  });

  test('hazard 18: a full file system is told as such, in the middle of a source that would go on', async () => {
    const small = agent.path('small');
    mkdirSync(small);
    const argv = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small];
    expect((await outcome(await guest.startProcess({ argv }))).exit.exitCode).toBe(0);
    const endless = (async function* () {
      for (;;) yield new Uint8Array(100_000);
    })();
    await expect(guest.writeFile(`${small}/file`, endless)).rejects.toMatchObject({
      name: 'GuestError',
      result: 'no_space',
      code: 'no_space',
      errno: 28,
    });
    expect((await endless.next()).done).toBe(true);
  });

  test('a read that is broken off and one that is cancelled leave the link in order', async () => {
    const path = agent.path('sparse');
    writeFileSync(path, '');
    truncateSync(path, 1_000_000_000);
    const first = await guest.readFile(path);
    expect(first.entry.sizeBytes).toBe(1_000_000_000n);
    for await (const chunk of first.data) {
      expect(chunk[0]).toBe(0);
      break;
    }
    const controller = new AbortController();
    const other = await guest.readFile(path, { signal: controller.signal });
    await other.data.next();
    controller.abort();
    await expect(content(other.data)).rejects.toMatchObject({ code: 'cancelled' });
    await expect(guest.readFile('/dev/zero')).rejects.toMatchObject({
      name: 'GuestError',
      code: 'invalid_request',
    });
    expect(await guest.link.ping()).toBeGreaterThan(0);
  });
});
