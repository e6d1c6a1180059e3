import { join, resolve } from 'node:path';

const DEFAULT_DATA_DIRECTORY = '/var/lib/dormouse';

/** The data directory: `--data`, else DORMOUSE_DATA, else /var/lib/dormouse. */
export function dataDirectoryOf(option: string | undefined): string {
  return resolve(option ?? process.env.DORMOUSE_DATA ?? DEFAULT_DATA_DIRECTORY);
}

/** Where things are in a data directory. */
export interface DataPaths {
  readonly root: string;
  /** Kernels, images and templates: DORMOUSE_ASSETS_DIR where several data directories share them, else the root. */
  readonly assets: string;
  readonly credentials: string;
  /** What the running `up` is and which processes it started. */
  readonly upState: string;
  readonly hostSocket: string;
  readonly postgres: string;
  readonly logs: string;
}

export function dataPaths(root: string): DataPaths {
  return {
    root,
    assets: resolve(process.env.DORMOUSE_ASSETS_DIR ?? root),
    credentials: join(root, 'credentials.json'),
    upState: join(root, 'up.json'),
    hostSocket: join(root, 'host-agent.sock'),
    postgres: join(root, 'postgres'),
    logs: join(root, 'logs'),
  };
}
