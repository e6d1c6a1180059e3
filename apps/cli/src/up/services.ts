import { ENTRY_POINTS } from '../checkout.js';
import type { DataPaths } from '../data-directory.js';
import type { ServiceSpec } from './service.js';

/** What the services of one `up` say to each other; filled in as they become ready. */
export interface Wiring {
  /** The database's URL, once it is known. */
  databaseUrl: string | undefined;
  readonly host: string;
  /** 0 until the control plane has chosen one. */
  apiPort: number;
}

const SUPERVISED = { DORMOUSE_SUPERVISED: '1' } as const;

/** The first start makes the cluster; recovery after a crash replays its log. */
const DATABASE_READY_MS = 120_000;
const DATABASE_STOP_MS = 20_000;

/** The first start on a machine probes the accelerator by booting a guest. */
const HOST_READY_MS = 300_000;
/** It pauses its sandboxes first, a few at a time: their memory is written to the disk. */
const HOST_STOP_MS = 300_000;

const CONTROL_PLANE_READY_MS = 60_000;
const CONTROL_PLANE_STOP_MS = 20_000;

/** PostgreSQL in the data directory. */
export function databaseService(paths: DataPaths): ServiceSpec {
  return {
    name: 'database',
    args: () => [ENTRY_POINTS.database, '--dir', paths.postgres],
    env: () => SUPERVISED,
    isReady: (line) => typeof line.databaseUrl === 'string',
    readyTimeoutMs: DATABASE_READY_MS,
    stopTimeoutMs: DATABASE_STOP_MS,
  };
}

export function hostAgentService(paths: DataPaths): ServiceSpec {
  return {
    name: 'host-agent',
    args: () => [ENTRY_POINTS.hostAgent],
    env: () => ({ ...SUPERVISED, DORMOUSE_DATA: paths.root, DORMOUSE_HOST_SOCKET: paths.hostSocket }),
    isReady: (line) => line.ready === true,
    readyTimeoutMs: HOST_READY_MS,
    stopTimeoutMs: HOST_STOP_MS,
  };
}

export function controlPlaneService(paths: DataPaths, wiring: Wiring): ServiceSpec {
  return {
    name: 'control-plane',
    args: () => [ENTRY_POINTS.controlPlane],
    env: () => ({
      ...SUPERVISED,
      DATABASE_URL: wiring.databaseUrl ?? '',
      DORMOUSE_HOST_SOCKET: paths.hostSocket,
      DORMOUSE_API_HOST: wiring.host,
      DORMOUSE_API_PORT: String(wiring.apiPort),
      DORMOUSE_CREDENTIALS: paths.credentials,
    }),
    isReady: (line) => typeof line.apiUrl === 'string',
    readyTimeoutMs: CONTROL_PLANE_READY_MS,
    stopTimeoutMs: CONTROL_PLANE_STOP_MS,
  };
}
