import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { DirectoryListing, FileEntry as ShownFile, WriteFileResult } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { FileType } from '@dormouse/host-api';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';

let plane: TestControlPlane;
let id: string;
beforeAll(async () => {
  plane = await startTestControlPlane();
  id = await plane.createSandbox();
}, 60_000);
afterAll(() => plane.close(), 60_000);

const MIB = 1024 * 1024;

/** What was written to the scripted guest, by path. */
const written = new Map<string, { bytes: Buffer; user: string; mode: number }>();

const hostEntry = (path: string, size: number, type: FileType = FileType.FILE) => ({
  name: path.split('/').at(-1) ?? '',
  path,
  type,
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  owner: 'user',
  group: 'user',
  size: BigInt(size),
  modifiedAtMs: 1_767_225_600_000n,
});

beforeEach(() => {
  written.clear();
  plane.host.reset();
  plane.host.script({
    writeFile: async (requests) => {
      let target = { path: '', user: '', mode: 0 };
      const chunks: Uint8Array[] = [];
      for await (const { message } of requests) {
        if (message.case === 'start') target = message.value;
        else if (message.case === 'data') chunks.push(message.value);
      }
      const bytes = Buffer.concat(chunks);
      written.set(target.path, { bytes, user: target.user, mode: target.mode });
      return { entry: hostEntry(target.path, bytes.length) };
    },
    statFile: ({ path }) => {
      const file = written.get(path);
      if (file === undefined) throw new DormouseError('not_found', `there is no file ${path}`);
      return { entry: hostEntry(path, file.bytes.length) };
    },
    readFile: async function* ({ path, offset, length }) {
      const file = written.get(path);
      if (file === undefined) throw new DormouseError('not_found', `there is no file ${path}`);
      yield { message: { case: 'entry' as const, value: hostEntry(path, file.bytes.length) } };
      const end = length === undefined ? file.bytes.length : Number(offset + length);
      for (let at = Number(offset); at < end; at += 65_536) {
        yield {
          message: { case: 'data' as const, value: file.bytes.subarray(at, Math.min(at + 65_536, end)) },
        };
      }
    },
  });
});

function files(end: string, init?: RequestInit): Promise<Response> {
  return plane.request(`/v1/sandboxes/${id}${end}`, init);
}

async function errorOf(response: Response): Promise<{ code: string; message: string }> {
  return ((await response.json()) as { error: { code: string; message: string } }).error;
}

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

describe('raw files', () => {
  test('hazard 13: come back as they were written, whatever their bytes', async () => {
    const bytes = randomBytes(3 * MIB + 7);
    const put = await files('/files?path=/tmp/a%20b.bin&user=root&mode=0600', { method: 'PUT', body: bytes });
    expect(put.status).toBe(200);
    const { entry } = (await put.json()) as WriteFileResult;
    expect(entry).toEqual({
      name: 'a b.bin',
      path: '/tmp/a b.bin',
      type: 'file',
      target_type: null,
      symlink_target: null,
      size: bytes.length,
      mode: '0644',
      uid: 1000,
      gid: 1000,
      owner: 'user',
      group: 'user',
      modified_at: '2026-01-01T00:00:00.000Z',
    } satisfies ShownFile);
    expect(written.get('/tmp/a b.bin')).toMatchObject({ user: 'root', mode: 0o600 });

    const got = await files('/files?path=/tmp/a%20b.bin');
    expect(got.status).toBe(200);
    expect(Object.fromEntries(got.headers)).toMatchObject({
      'content-length': String(bytes.length),
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
    });
    expect((await bytesOf(got)).equals(bytes)).toBe(true);
  });

  test('may be empty', async () => {
    expect((await files('/files?path=/tmp/empty', { method: 'PUT' })).status).toBe(200);
    expect(written.get('/tmp/empty')?.bytes.length).toBe(0);
    const got = await files('/files?path=/tmp/empty');
    expect([got.status, (await bytesOf(got)).length]).toEqual([200, 0]);
  });

  test.each([
    ['bytes=0-3', 206, 'bytes 0-3/10', '0123'],
    ['bytes=7-', 206, 'bytes 7-9/10', '789'],
    ['bytes=-2', 206, 'bytes 8-9/10', '89'],
    ['bytes=4-400', 206, 'bytes 4-9/10', '456789'],
    ['bytes=0-1,4-5', 200, null, '0123456789'],
    ['lines=1-2', 200, null, '0123456789'],
  ])('answer the range %s', async (range, status, contentRange, text) => {
    await files('/files?path=/r', { method: 'PUT', body: '0123456789' });
    const got = await files('/files?path=/r', { headers: { range } });
    expect([got.status, got.headers.get('content-range')]).toEqual([status, contentRange]);
    expect(got.headers.get('content-length')).toBe(String(text.length));
    expect(await got.text()).toBe(text);
  });

  test('refuse a range that lies outside', async () => {
    await files('/files?path=/r', { method: 'PUT', body: '0123456789' });
    const got = await files('/files?path=/r', { headers: { range: 'bytes=10-' } });
    expect(got.status).toBe(416);
    expect(await errorOf(got)).toEqual(
      expect.objectContaining({
        code: 'range_not_satisfiable',
        message: 'the file has 10 bytes; the range lies outside',
      }),
    );
  });

  test('tell their size without their content', async () => {
    await files('/files?path=/r', { method: 'PUT', body: '0123456789' });
    const head = await files('/files?path=/r', { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '10']);
  });

  test('that grow while they are read are cut at the announced length', async () => {
    plane.host.script({
      readFile: async function* ({ path }) {
        yield { message: { case: 'entry' as const, value: hostEntry(path, 4) } };
        yield { message: { case: 'data' as const, value: Buffer.from('0123') } };
        yield { message: { case: 'data' as const, value: Buffer.from('4567') } };
      },
    });
    const got = await files('/files?path=/growing');
    expect([got.headers.get('content-length'), await got.text()]).toEqual(['4', '0123']);
  });

  test('hazard 6: that shrink while they are read break the answer instead of passing for the whole', async () => {
    plane.host.script({
      readFile: async function* ({ path }) {
        yield { message: { case: 'entry' as const, value: hostEntry(path, 1000) } };
        yield { message: { case: 'data' as const, value: Buffer.from('0123') } };
      },
    });
    await expect(files('/files?path=/shrinking').then((answer) => answer.text())).rejects.toThrow();
  });

  test('without a size of their own are answered whole', async () => {
    plane.host.script({
      statFile: ({ path }) => ({ entry: hostEntry(path, 0) }),
      readFile: async function* ({ path }) {
        yield { message: { case: 'entry' as const, value: hostEntry(path, 0) } };
        yield { message: { case: 'data' as const, value: Buffer.from('MemTotal') } };
      },
    });
    for (const headers of [{}, { range: 'bytes=0-1' }] as Record<string, string>[]) {
      const got = await files('/files?path=/proc/meminfo', { headers });
      expect([got.status, await got.text()]).toEqual([200, 'MemTotal']);
    }
  });

  test.each([
    ['not_found', 404],
    ['no_space', 507],
    ['payload_too_large', 413],
    ['invalid_state', 409],
  ] as const)('hazard 18: a write that the guest refuses with %s is a %i', async (code, status) => {
    plane.host.script({
      writeFile: async () => {
        throw new DormouseError(code, 'the guest refused');
      },
    });
    const answer = await files('/files?path=/x', { method: 'PUT', body: Buffer.alloc(4 * MIB) });
    expect([answer.status, (await errorOf(answer)).code]).toEqual([status, code]);
  });

  test('hazard 4: an upload that breaks off is cancelled, never written as a shorter file', async () => {
    let outcome = '';
    const over = new Promise<void>((resolve) => {
      plane.host.script({
        writeFile: async (requests) => {
          try {
            for await (const _ of requests);
            outcome = 'complete';
          } catch {
            outcome = 'cancelled';
          } finally {
            resolve();
          }
          return {};
        },
      });
    });
    const upload = httpRequest(`${plane.url}/v1/sandboxes/${id}/files?path=/tmp/x`, {
      method: 'PUT',
      headers: { 'x-api-key': plane.team.key, 'content-length': String(10 * MIB) },
    });
    upload.on('error', () => undefined);
    upload.write(Buffer.alloc(MIB), () => upload.destroy());
    await over;
    expect(outcome).toBe('cancelled');
  });

  test('hazard 12: 256 MB up and down leave the memory of the server flat', async () => {
    const chunk = randomBytes(64 * 1024);
    const count = (256 * MIB) / chunk.length;
    let received = 0;
    plane.host.script({
      writeFile: async (requests) => {
        for await (const { message } of requests) {
          if (message.case === 'data') received += message.value.length;
        }
        return { entry: hostEntry('/big', received) };
      },
      readFile: async function* ({ path }) {
        yield { message: { case: 'entry' as const, value: hostEntry(path, count * chunk.length) } };
        for (let i = 0; i < count; i++) yield { message: { case: 'data' as const, value: chunk } };
      },
    });
    const watch = watchMemory();
    const status = await new Promise<number>((resolve, reject) => {
      const upload = httpRequest(
        `${plane.url}/v1/sandboxes/${id}/files?path=/big`,
        {
          method: 'PUT',
          headers: { 'x-api-key': plane.team.key, 'content-length': String(count * chunk.length) },
        },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        },
      );
      upload.on('error', reject);
      let sent = 0;
      const send = () => {
        while (sent < count) {
          sent++;
          if (!upload.write(chunk)) {
            upload.once('drain', send);
            return;
          }
        }
        upload.end();
      };
      send();
    });
    expect([status, received]).toEqual([200, 256 * MIB]);

    const got = await files('/files?path=/big');
    let down = 0;
    for await (const part of got.body as unknown as AsyncIterable<Uint8Array>) down += part.length;
    expect(down).toBe(256 * MIB);
    expect(watch.stop()).toBeLessThan(128 * MIB);
  });

  test('hazard 12: a download that nobody reads stops the guest', async () => {
    const chunk = randomBytes(256 * 1024);
    let produced = 0;
    let over = () => {};
    const cancelled = new Promise<void>((resolve) => {
      over = resolve;
    });
    plane.host.script({
      readFile: async function* ({ path }, { signal }) {
        signal.addEventListener('abort', over);
        yield { message: { case: 'entry' as const, value: hostEntry(path, 4096 * chunk.length) } };
        for (; produced < 4096; produced++) yield { message: { case: 'data' as const, value: chunk } };
      },
    });
    const download = httpRequest(`${plane.url}/v1/sandboxes/${id}/files?path=/big`, {
      headers: { 'x-api-key': plane.team.key },
    });
    download.on('error', () => undefined);
    const answer = await new Promise<import('node:http').IncomingMessage>((resolve) => {
      download.on('response', resolve);
      download.end();
    });
    answer.on('error', () => undefined);
    answer.pause();
    await settled(() => produced);
    expect(produced * chunk.length).toBeLessThan(32 * MIB);
    download.destroy();
    await cancelled;
  });
});

describe('files for simple HTTP clients', () => {
  test.each(['/files/write', '/files/stream/write'])('%s takes a form', async (end) => {
    const bytes = randomBytes(2 * MIB);
    const form = new FormData();
    form.set('path', '/tmp/form.bin');
    form.set('mode', '0755');
    form.set('file', new Blob([bytes]), 'ignored.bin');
    const answer = await files(end, { method: 'POST', body: form });
    expect(answer.status).toBe(200);
    const file = written.get('/tmp/form.bin');
    expect(file?.bytes.equals(bytes)).toBe(true);
    expect(file?.mode).toBe(0o755);
  });

  test.each(['/files/write', '/files/stream/write'])('%s takes the bytes themselves', async (end) => {
    const answer = await files(`${end}?path=/tmp/raw`, { method: 'POST', body: Buffer.from([0, 255]) });
    expect(answer.status).toBe(200);
    expect(written.get('/tmp/raw')?.bytes).toEqual(Buffer.from([0, 255]));
  });

  test.each(['/files/read', '/files/stream/read'])('%s answers the bytes', async (end) => {
    await files('/files?path=/tmp/x', { method: 'PUT', body: Buffer.from([0, 255]) });
    const answer = await files(end, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"path":"/tmp/x"}',
    });
    expect(answer.status).toBe(200);
    expect(await bytesOf(answer)).toEqual(Buffer.from([0, 255]));
  });

  test('a form that is not as it should be is a 400 with the reason', async () => {
    const late = new FormData();
    late.set('file', new Blob(['x']), 'x');
    late.set('path', '/tmp/x');
    const none = new FormData();
    none.set('path', '/tmp/x');
    const cases: [RequestInit, string][] = [
      [{ body: late }, 'path: send it before the file, or as query parameter'],
      [{ body: none }, 'the form has no file'],
      [
        { body: 'nonsense', headers: { 'content-type': 'multipart/form-data; boundary=b' } },
        'the body is not a complete multipart/form-data form',
      ],
      [
        { body: 'nonsense', headers: { 'content-type': 'multipart/form-data' } },
        'the body is not a complete multipart/form-data form',
      ],
      [
        {
          body: '--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n/tmp/cut\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhalf',
          headers: { 'content-type': 'multipart/form-data; boundary=b' },
        },
        'the body is not a complete multipart/form-data form',
      ],
    ];
    for (const [init, message] of cases) {
      const answer = await files('/files/write', { method: 'POST', ...init });
      expect([answer.status, await errorOf(answer)]).toMatchObject([
        400,
        { code: 'invalid_request', message },
      ]);
    }
    expect(written.has('/tmp/cut')).toBe(false);
  });
});

describe('directories', () => {
  test('are listed page by page', async () => {
    plane.host.script({
      listDirectory: async function* ({ path, depth, user }) {
        expect([path, depth, user]).toEqual(['/srv', 2, 'root']);
        yield { entries: [hostEntry('/srv/a', 1), hostEntry('/srv/b', 2)] };
        yield { entries: [hostEntry('/srv/c', 3), hostEntry('/srv/d', 4), hostEntry('/srv/e', 5)] };
      },
    });
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const answer = await files(`/dir?path=/srv&depth=2&user=root&limit=2${query}`);
      const page = (await answer.json()) as DirectoryListing;
      seen.push(...page.entries.map(({ name }) => name));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('show symlinks with what they lead to', async () => {
    plane.host.script({
      listDirectory: async function* () {
        yield {
          entries: [
            {
              ...hostEntry('/l', 3, FileType.SYMLINK),
              targetType: FileType.DIRECTORY,
              symlinkTarget: '/srv',
            },
            { ...hostEntry('/broken', 3, FileType.SYMLINK), symlinkTarget: '/nowhere' },
          ],
        };
      },
    });
    const { entries } = (await (await files('/dir?path=/')).json()) as DirectoryListing;
    expect(
      entries.map(({ type, target_type, symlink_target }) => [type, target_type, symlink_target]),
    ).toEqual([
      ['symlink', 'directory', '/srv'],
      ['symlink', null, '/nowhere'],
    ]);
  });

  test('are made and removed', async () => {
    const asked: unknown[] = [];
    plane.host.script({
      makeDirectory: ({ path, mode, parents }) => {
        asked.push([path, mode, parents]);
        return { entry: hostEntry(path, 4096, FileType.DIRECTORY) };
      },
      removeFile: ({ path, recursive }) => {
        asked.push([path, recursive]);
        return {};
      },
    });
    const made = await files('/dir', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"path":"/tmp/d","mode":"0700"}',
    });
    expect([made.status, await made.json()]).toMatchObject([201, { entry: { type: 'directory' } }]);
    expect((await files('/files?path=/tmp/d&recursive=true', { method: 'DELETE' })).status).toBe(204);
    expect(asked).toEqual([
      ['/tmp/d', 0o700, true],
      ['/tmp/d', true],
    ]);
  });

  test.each([
    ['/files', 'path: Invalid input: expected string, received undefined'],
    ['/files?path=', 'path: must not be empty'],
    ['/files?path=%00', 'path: must not contain a NUL byte'],
    [`/files?path=/${'x'.repeat(4096)}`, 'path: must be shorter than 4096 bytes'],
    ['/files?path=/x&user=a/b', 'user: must be a user name'],
    ['/dir?path=/&depth=99', 'depth: must be a whole number from 1 to 32'],
    ['/dir?path=/&cursor=x', 'cursor: must be the next_cursor of an earlier page'],
  ])('hazard 14: refuses %s', async (end, message) => {
    const answer = await files(end);
    expect([answer.status, (await errorOf(answer)).message]).toEqual([400, message]);
  });
});

/** Samples what the process holds outside of the heap and in it; answers how far it rose. */
function watchMemory(): { stop(): number } {
  const used = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const first = used();
  let most = first;
  const timer = setInterval(() => {
    most = Math.max(most, used());
  }, 20);
  return {
    stop: () => {
      clearInterval(timer);
      return most - first;
    },
  };
}

/** Resolves when a figure has not moved for several turns of a slow clock. */
async function settled(read: () => number): Promise<void> {
  let last = -1;
  for (let calm = 0; calm < 10; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = read();
    calm = now === last ? calm + 1 : 0;
    last = now;
  }
}
