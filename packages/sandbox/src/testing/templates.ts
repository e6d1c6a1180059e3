import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { imagePath } from '@dormouse/rootfs';
import type { HostConfig } from '../config/host-config.js';

const IMAGE_ID = 'img0123456789abcdefghij';
const MEMORY_MB = 128;
const DISK_BYTES = 1_048_576;

/** Puts the template `base` there as a build leaves it; the content of its image does not matter to model VMs. */
export async function putTemplate({ assetsDir }: HostConfig): Promise<void> {
  const record = {
    name: 'base',
    imageId: IMAGE_ID,
    recipeHash: '',
    description: '',
    user: 'user',
    vcpus: 1,
    memoryMb: MEMORY_MB,
    diskBytes: DISK_BYTES,
    sizeBytes: 0,
    createdAt: '2026-01-02T03:04:05.678Z',
  };
  await mkdir(join(assetsDir, 'templates'), { recursive: true });
  await writeFile(join(assetsDir, 'templates', 'base.json'), JSON.stringify(record));
  const image = imagePath(assetsDir, IMAGE_ID);
  await mkdir(dirname(image), { recursive: true });
  await writeFile(image, Buffer.alloc(DISK_BYTES));
}
