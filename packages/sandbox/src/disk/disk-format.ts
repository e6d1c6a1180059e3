import { link } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { imagePath, readLayerHeader, syncDirectory, verifyImage } from '@dormouse/rootfs';
import type { DiskFormat } from '@dormouse/snapshot';
import { type HostConfig, layersDir } from '../config/host-config.js';
import { isLayerFile } from './disk.js';

/** How the disk layers of a host name what they lie on: qcow2, by absolute paths. */
export function diskFormat(config: HostConfig): DiskFormat {
  return {
    backingPathOf: async (path) => {
      const header = await readLayerHeader(path);
      if (header.kind === 'layer') return header.backingPath;
      const problem = header.kind === 'damaged' ? header.problem : 'it is empty';
      throw new DormouseError('snapshot_corrupt', `the disk layer ${path} cannot be used: ${problem}`);
    },
    // The directory of all assets may have another path than when the layer was made.
    isImage: (path, imageId) => path.endsWith(imagePath('/', imageId).slice(1)),
    verifyImage: (imageId) => verifyImage(config.assetsDir, imageId),
    restoreName: async (path, layerPath) => {
      const dir = layersDir(config);
      if (dirname(path) !== dir || !isLayerFile(basename(path))) return false;
      try {
        await link(layerPath, join(dir, basename(path)));
      } catch (error) {
        if (systemErrorCode(error) !== 'EEXIST') throw error;
      }
      await syncDirectory(dir);
      return true;
    },
  };
}
