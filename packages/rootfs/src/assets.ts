import { join } from 'node:path';

/** Where kernels, images and templates are kept below an assets directory. */
export interface AssetPaths {
  readonly kernels: string;
  readonly images: string;
  readonly templates: string;
}

/** @param assetsDir the data directory, or a directory that several data directories share */
export function assetPaths(assetsDir: string): AssetPaths {
  return {
    kernels: join(assetsDir, 'kernels'),
    images: join(assetsDir, 'images'),
    templates: join(assetsDir, 'templates'),
  };
}
