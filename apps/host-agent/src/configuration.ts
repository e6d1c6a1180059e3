import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DormouseError } from '@dormouse/errors';
import { z } from 'zod';

/** Files that come with the source tree, beside `apps/`. */
const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

const MS_PER_SEC = 1_000;

/** Sun_path of unix(7) is 108 bytes with its terminator. */
const MAX_SOCKET_PATH_BYTES = 107;
const LONGEST_SOCKET = join('vms', `vm${'x'.repeat(16)}`, 'run', 'incoming.sock');

/** The guest agent's binary, unless configured otherwise. */
export const DEFAULT_AGENT_PATH: string = join(REPOSITORY, 'guest', 'build', 'dormouse-guest');
/** The recipes that come with Dormouse, unless configured otherwise. */
export const DEFAULT_RECIPES_DIR: string = join(REPOSITORY, 'images');

const environmentSchema = z.object({
  DORMOUSE_DATA: z.string().min(1).default('/var/lib/dormouse'),
  DORMOUSE_ASSETS_DIR: z.string().min(1).optional(),
  DORMOUSE_HOST_SOCKET: z.string().min(1).optional(),
  DORMOUSE_SHM_DIR: z.string().min(1).default('/dev/shm'),
  DORMOUSE_GUEST_AGENT: z.string().min(1).default(DEFAULT_AGENT_PATH),
  DORMOUSE_ACCELERATOR: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
  DORMOUSE_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  DORMOUSE_SUPERVISED: z.enum(['0', '1']).default('0'),
  DORMOUSE_STANDBYS: z.coerce.number().int().min(0).max(64).default(1),
  DORMOUSE_READY_SANDBOXES: z.coerce.number().int().min(0).max(64).default(1),
  DORMOUSE_FREEZE_TEMPLATE: z.string().default('base'),
  DORMOUSE_METRICS_INTERVAL_SEC: z.coerce.number().int().min(0).max(3600).default(10),
});

/** How a host agent is set up. Paths are absolute. */
export interface Configuration {
  readonly dataDir: string;
  readonly assetsDir: string;
  readonly socketPath: string;
  readonly memoryDir: string;
  readonly agentPath: string;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  readonly logLevel: string;
  /** Stop when standard input ends: the supervisor is gone. */
  readonly supervised: boolean;
  /** VM processes that wait for a sandbox, so that nobody waits for them. */
  readonly standbys: number;
  /** Restored sandboxes that wait for somebody to want one, each with some 100 MiB of memory. */
  readonly readySandboxes: number;
  /** Template that is frozen when the agent starts, so that its sandboxes are restored; undefined: none is. */
  readonly frozenTemplate: string | undefined;
  /** From one measurement of every running sandbox to the next. 0: none is measured. */
  readonly metricsIntervalMs: number;
}

/**
 * Reads the configuration from environment variables.
 *
 * @throws DormouseError `invalid_request` naming the variable that is wrong
 */
export function readConfiguration(environment: NodeJS.ProcessEnv): Configuration {
  const parsed = environmentSchema.safeParse(environment);
  if (!parsed.success) {
    throw new DormouseError(
      'invalid_request',
      `the configuration is wrong: ${z.prettifyError(parsed.error)}`,
    );
  }
  const values = parsed.data;
  const dataDir = resolve(values.DORMOUSE_DATA);
  if (Buffer.byteLength(join(dataDir, LONGEST_SOCKET)) > MAX_SOCKET_PATH_BYTES) {
    const room = MAX_SOCKET_PATH_BYTES - Buffer.byteLength(LONGEST_SOCKET) - 1;
    throw new DormouseError(
      'invalid_request',
      `the data directory's path is longer than ${room} bytes: ${dataDir}`,
      {
        suggestion: 'Sockets below it would have names the kernel does not take. Choose a shorter path.',
      },
    );
  }
  return {
    dataDir,
    assetsDir: resolve(values.DORMOUSE_ASSETS_DIR ?? dataDir),
    socketPath: resolve(values.DORMOUSE_HOST_SOCKET ?? join(dataDir, 'host-agent.sock')),
    memoryDir: join(resolve(values.DORMOUSE_SHM_DIR), 'dormouse'),
    agentPath: resolve(values.DORMOUSE_GUEST_AGENT),
    accelerator: values.DORMOUSE_ACCELERATOR,
    logLevel: values.DORMOUSE_LOG_LEVEL,
    supervised: values.DORMOUSE_SUPERVISED === '1',
    standbys: values.DORMOUSE_STANDBYS,
    readySandboxes: values.DORMOUSE_READY_SANDBOXES,
    frozenTemplate: values.DORMOUSE_FREEZE_TEMPLATE === '' ? undefined : values.DORMOUSE_FREEZE_TEMPLATE,
    metricsIntervalMs: values.DORMOUSE_METRICS_INTERVAL_SEC * MS_PER_SEC,
  };
}
