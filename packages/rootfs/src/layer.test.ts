import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLayer, flattenLayer } from './layer.js';
import { decodeDiskSize, encodeEmptyOverlay } from './qcow2-overlay.js';

const run = promisify(execFile);
const GIB = 1024 ** 3;
const CLUSTER_BYTES = 65_536;

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-layer-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function qemuImg(...args: string[]): Promise<string> {
  return (await run('qemu-img', args)).stdout;
}

async function image(name: string, sizeBytes: number): Promise<string> {
  const path = join(dir, name);
  const file = await open(path, 'w');
  await file.write('the first bytes of the image');
  await file.truncate(sizeBytes);
  await file.close();
  return path;
}

describe('a new layer, as QEMU itself sees it', () => {
  test.each([1024 ** 2, 8 * GIB, 64 * GIB + 512, 5 * 1024 * GIB])(
    'on a raw image of %d bytes is whole, empty and as large',
    async (sizeBytes) => {
      const base = await image(`raw-${sizeBytes}`, sizeBytes);
      const path = join(dir, `on-raw-${sizeBytes}.qcow2`);
      await createLayer(path, { path: base, format: 'raw' });
      const info = JSON.parse(await qemuImg('info', '--output=json', path));
      expect(info).toMatchObject({
        format: 'qcow2',
        'virtual-size': sizeBytes,
        'backing-filename': base,
        'backing-filename-format': 'raw',
        'cluster-size': CLUSTER_BYTES,
        'dirty-flag': false,
        'format-specific': { data: { compat: '1.1', 'refcount-bits': 16, corrupt: false } },
      });
      expect(await qemuImg('check', path)).toContain('No errors were found on the image.');
      expect(await qemuImg('compare', '-f', 'raw', '-F', 'qcow2', base, path)).toContain(
        'Images are identical.',
      );
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    },
  );

  test('on another layer has its size, and takes writes that the lower one does not see', async () => {
    const base = await image('raw', GIB);
    const [lower, upper] = [join(dir, 'lower.qcow2'), join(dir, 'upper.qcow2')];
    await createLayer(lower, { path: base, format: 'raw' });
    await createLayer(upper, { path: lower, format: 'qcow2' });
    await run('qemu-io', ['-c', 'write -P 7 512M 1M', upper]);
    await run('qemu-io', ['-c', 'read -P 7 512M 1M', '-c', 'read -P 0 511M 1M', upper]);
    await run('qemu-io', ['-c', 'read -P 0 512M 1M', lower]);
    expect(await qemuImg('check', upper)).toContain('No errors were found on the image.');
    expect(JSON.parse(await qemuImg('info', '--output=json', upper))['virtual-size']).toBe(GIB);
  });

  test('on one that is being written to takes its size as given, and never replaces a file', async () => {
    const path = join(dir, 'unseen.qcow2');
    const backing = { path: join(dir, 'not-looked-at'), format: 'qcow2', sizeBytes: GIB } as const;
    await createLayer(path, backing);
    expect(JSON.parse(await qemuImg('info', '--output=json', path))['virtual-size']).toBe(GIB);
    await expect(createLayer(path, backing)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(createLayer(join(dir, 'new'), { path: backing.path, format: 'raw' })).rejects.toMatchObject({
      code: 'setup_failed',
      message: expect.stringMatching(/^nothing can lie on .*not-looked-at: ENOENT/),
    });
  });
});

test('hazard 2: a layer that is flattened has what every layer in between had, zeros too, and needs none of them', async () => {
  const base = await image('flat-base', GIB);
  const layers = [0, 1, 2, 3].map((index) => join(dir, `chain-${index}.qcow2`));
  await createLayer(layers[0]!, { path: base, format: 'raw' });
  await run('qemu-io', ['-c', 'write -P 1 1M 1M', '-c', 'write -P 1 300M 64k', layers[0]!]);
  for (const index of [1, 2, 3]) {
    await createLayer(layers[index]!, { path: layers[index - 1]!, format: 'qcow2' });
    await run('qemu-io', ['-c', `write -P ${index + 1} ${index * 100}M 1M`, layers[index]!]);
  }
  await run('qemu-io', ['-c', 'write -z 1M 512k', layers[2]!]);
  const flat = join(dir, 'flat.qcow2');
  await flattenLayer(layers[3]!, flat, { path: base, format: 'raw' });
  expect(await qemuImg('compare', layers[3]!, flat)).toContain('Images are identical.');
  expect(JSON.parse(await qemuImg('info', '--output=json', flat))['backing-filename']).toBe(base);
  for (const path of layers) await rm(path);
  const read = [
    'read -P 0 1M 512k',
    'read -P 1 1536k 512k',
    'read -P 2 100M 1M',
    'read -P 3 200M 1M',
    'read -P 4 300M 1M',
  ];
  await run('qemu-io', [...read.flatMap((command) => ['-c', command]), flat]);
  expect(await qemuImg('check', flat)).toContain('No errors were found on the image.');
});

test('what no header can hold is refused', () => {
  const overlay = { backingPath: '/image', backingFormat: 'raw', sizeBytes: GIB } as const;
  for (const wrong of [
    { backingPath: '/'.repeat(1024) },
    { backingPath: '' },
    { sizeBytes: 0 },
    { sizeBytes: 2 ** 53 },
    { sizeBytes: GIB + 1 },
  ]) {
    expect(() => encodeEmptyOverlay({ ...overlay, ...wrong })).toThrow(/^a disk layer cannot/);
  }
  expect(() => decodeDiskSize(Buffer.alloc(200))).toThrow('the disk layer has no qcow2 header');
  expect(decodeDiskSize(encodeEmptyOverlay(overlay).parts[0]!.bytes)).toBe(GIB);
});
