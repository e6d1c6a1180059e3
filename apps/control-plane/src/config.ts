import { DormouseError } from '@dormouse/errors';
import { z } from 'zod';

const environment = z.object({
  DATABASE_URL: z
    .string('must be set, e.g. postgresql://user:password@localhost/dormouse')
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgresql://'),
  DORMOUSE_HOST_SOCKET: z
    .string("must be set: the host agent's Unix socket")
    .refine((path) => Buffer.byteLength(path) <= 107, 'must be at most 107 bytes long, the limit of Linux'),
  DORMOUSE_API_HOST: z.string().min(1).default('127.0.0.1'),
  DORMOUSE_API_PORT: z.coerce
    .number('must be a port number')
    .int('must be a port number')
    .min(0, 'must be a port number')
    .max(65_535, 'must be a port number')
    .default(4050),
  DORMOUSE_CREDENTIALS: z.string('must be set: the path of credentials.json').min(1),
  DORMOUSE_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  DORMOUSE_SUPERVISED: z.enum(['0', '1']).default('0'),
});

/** What the control plane is told from outside. */
export interface Config {
  readonly databaseUrl: string;
  readonly hostSocket: string;
  readonly apiHost: string;
  /** 0: any free port. */
  readonly apiPort: number;
  readonly credentialsPath: string;
  readonly logLevel: string;
  /** Leave when stdin closes: whoever started us is gone. */
  readonly supervised: boolean;
}

/**
 * @param env environment variables; unknown ones are ignored
 * @throws DormouseError `invalid_request` naming every variable that is wrong; never its value, which may be secret
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const result = environment.safeParse(env);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
    throw new DormouseError('invalid_request', problems.join('; '));
  }
  const value = result.data;
  return {
    databaseUrl: value.DATABASE_URL,
    hostSocket: value.DORMOUSE_HOST_SOCKET,
    apiHost: value.DORMOUSE_API_HOST,
    apiPort: value.DORMOUSE_API_PORT,
    credentialsPath: value.DORMOUSE_CREDENTIALS,
    logLevel: value.DORMOUSE_LOG_LEVEL,
    supervised: value.DORMOUSE_SUPERVISED === '1',
  };
}
