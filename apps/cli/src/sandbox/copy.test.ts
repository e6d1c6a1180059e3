import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join, posix } from 'node:path';
import { Sandbox } from '@dormouse/sdk';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { copy, safeName } from './copy.js';
import { planCopy } from './copy-location.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';

/** A file of the scripted sandbox: text, or undefined for a directory. */
type Tree = Map<string, { content: string | undefined; mode: string; type?: string }>;

let directory: string;
let tree: Tree;
let sandbox: Sandbox;
let stop: () => Promise<void>;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-copy-'));
  tree = new Map([['/tmp', { content: undefined, mode: '0755' }]]);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    const path = url.searchParams.get('path') ?? '';
    const answer = (status: number, value: unknown): void => {
      response.writeHead(status).end(JSON.stringify(value));
    };
    const refuse = (status: number, code: string): void => {
      answer(status, { error: { code, message: path, request_id: 'req_1' } });
    };
    let body = '';
    request.on('data', (piece) => {
      body += piece;
    });
    request.on('end', () => {
      const found = tree.get(path);
      if (url.pathname.endsWith('/files') && request.method === 'PUT') {
        tree.set(path, { content: body, mode: url.searchParams.get('mode') ?? '0644' });
        answer(200, { entry: entryOf(path) });
      } else if (url.pathname.endsWith('/files')) {
        if (found?.content === undefined) refuse(404, 'not_found');
        else response.end(found.content);
      } else if (request.method === 'POST') {
        const made = (JSON.parse(body) as { path: string }).path;
        tree.set(made, { content: undefined, mode: '0755' });
        answer(201, { entry: entryOf(made) });
      } else if (!url.pathname.endsWith('/dir')) {
        answer(200, SANDBOX);
      } else if (found === undefined) {
        refuse(404, 'not_found');
      } else if (found.content !== undefined) {
        refuse(400, 'invalid_request');
      } else {
        const below = [...tree.keys()].filter((name) => posix.dirname(name) === path && name !== path);
        answer(200, { entries: below.map(entryOf), next_cursor: null });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  sandbox = await Sandbox.connect(ID, { apiUrl, apiKey: 'k' });
});

afterEach(async () => {
  await stop();
  rmSync(directory, { recursive: true });
});

const run = (from: string, to: string) => copy(planCopy(from, to), sandbox.files, undefined);

test('a file goes to a name, or into a directory, and back', async () => {
  const source = join(directory, 'a.txt');
  writeFileSync(source, 'hello', { mode: 0o640 });
  expect(await run(source, `${ID}:/tmp/b.txt`)).toEqual({ files: 1, bytes: 5, skipped: [] });
  await run(source, `${ID}:/tmp`);
  await run(source, `${ID}:/tmp/new/`);
  expect(tree.get('/tmp/b.txt')).toEqual({ content: 'hello', mode: '0640' });
  expect([tree.get('/tmp/a.txt')?.content, tree.get('/tmp/new/a.txt')?.content]).toEqual(['hello', 'hello']);

  await run(`${ID}:/tmp/b.txt`, join(directory, 'c.txt'));
  await run(`${ID}:/tmp/b.txt`, directory);
  expect(readFileSync(join(directory, 'c.txt'), 'utf8')).toBe('hello');
  expect(readFileSync(join(directory, 'b.txt'), 'utf8')).toBe('hello');
});

test('a directory goes up with what is in it; links that lead to no file are left out and named', async () => {
  const source = join(directory, 'tree');
  mkdirSync(join(source, 'sub'), { recursive: true });
  writeFileSync(join(source, 'sub/x'), '1');
  writeFileSync(join(source, 'y'), '22');
  symlinkSync('y', join(source, 'link'));
  symlinkSync('nowhere', join(source, 'dangling'));
  const result = await run(source, `${ID}:/tmp`);
  expect(result).toEqual({ files: 3, bytes: 5, skipped: [join(source, 'dangling')] });
  expect(tree.get('/tmp/tree/sub/x')?.content).toBe('1');
  expect(tree.get('/tmp/tree/link')?.content).toBe('22');
});

test('a directory comes down with modes, and its special files are left out', async () => {
  tree.set('/tmp/d', { content: undefined, mode: '0755' });
  tree.set('/tmp/d/run.sh', { content: '#!', mode: '4755' });
  tree.set('/tmp/d/fifo', { content: '', mode: '0644', type: 'other' });
  const result = await run(`${ID}:/tmp/d`, join(directory, 'd'));
  expect(result).toEqual({ files: 1, bytes: 2, skipped: ['/tmp/d/fifo'] });
  // Set-user-id bits of a stranger do not come along.
  expect((statSync(join(directory, 'd/run.sh')).mode & 0o7777).toString(8)).toBe('755');
});

test('hazard 15: what a hostile sandbox lists stays inside the destination', async () => {
  for (const name of ['..', '.', '', '../../etc/passwd', 'a/b', 'a\0b']) {
    expect(() => safeName(name)).toThrow('impossible name');
  }
  const outside = join(directory, 'outside');
  writeFileSync(outside, 'mine');
  mkdirSync(join(directory, 'd'));
  symlinkSync(outside, join(directory, 'd/x'));
  tree.set('/tmp/x', { content: 'theirs', mode: '0644' });
  await run(`${ID}:/tmp/x`, join(directory, 'd'));
  expect(readFileSync(outside, 'utf8')).toBe('mine');
  expect(readFileSync(join(directory, 'd/x'), 'utf8')).toBe('theirs');
});

test('what does not exist is said, here and there', async () => {
  await expect(run(join(directory, 'none'), `${ID}:/tmp`)).rejects.toMatchObject({
    code: 'not_found',
    message: `${join(directory, 'none')} does not exist here`,
  });
  await expect(run(`${ID}:/none`, join(directory, 'x'))).rejects.toMatchObject({ code: 'not_found' });
  expect(existsSync(join(directory, 'x'))).toBe(false);
});

function entryOf(path: string): Record<string, unknown> {
  const found = tree.get(path);
  const type = found?.type ?? (found?.content === undefined ? 'directory' : 'file');
  return {
    name: basename(path),
    path,
    type,
    target_type: null,
    symlink_target: null,
    size: found?.content?.length ?? 0,
    mode: found?.mode ?? '0644',
    uid: 0,
    gid: 0,
    owner: 'root',
    group: 'root',
    modified_at: '2026-01-31T09:30:00.000Z',
  };
}

const SANDBOX = {
  id: ID,
  state: 'running',
  reason: null,
  template: 'base',
  parent_snapshot: null,
  vcpus: 1,
  memory_mb: 512,
  disk_mb: 4096,
  timeout_sec: 0,
  on_timeout: 'pause',
  on_memory_loss: 'reboot',
  internet: true,
  metadata: {},
  created_at: '2026-01-31T09:30:00.000Z',
  started_at: null,
  last_active_at: null,
  expires_at: null,
  paused_at: null,
  resumed_by: null,
  host_id: null,
  host_state: null,
};
