import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { prepareDataDirectory } from './data-directory.js';
import { hostId } from './host-facts.js';

let parent: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dormouse-'));
});

afterEach(async () => {
  await rm(parent, { recursive: true, force: true });
});

describe('the data directory', () => {
  test('is made so that VM users may pass through it but not list it', async () => {
    await chmod(parent, 0o711);
    const dataDir = join(parent, 'a', 'b');
    await prepareDataDirectory(dataDir);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o711);
    await chmod(dataDir, 0o700);
    await prepareDataDirectory(dataDir);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o711);
  });

  test('is refused below a directory that lets only its owner through', async () => {
    await chmod(parent, 0o700);
    await mkdir(join(parent, 'open'), { mode: 0o755 });
    const dataDir = join(parent, 'open', 'data');
    await expect(prepareDataDirectory(dataDir)).rejects.toMatchObject({
      code: 'not_permitted',
      message: `VM processes cannot reach ${dataDir}: ${parent} lets only its owner through`,
      suggestion: `Choose another --data directory, or run \`chmod o+x ${parent}\`.`,
    });
  });

  test('keeps the name of the host from start to start', async () => {
    const first = await hostId(parent);
    expect(first).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(await hostId(parent)).toBe(first);
  });
});
