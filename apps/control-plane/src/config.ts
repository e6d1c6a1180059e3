import { DormouseError } from '@dormouse/errors';
import type { Quotas, RateLimit } from '@dormouse/store';
import { z } from 'zod';
import type { AccessLimits } from './access/limits.js';

/** A number of times in a number of seconds, as `10/3600`. */
const rate = z
  .string()
  .regex(/^[1-9]\d{0,5}\/[1-9]\d{0,5}$/, 'must be a number of times and of seconds, e.g. 10/3600')
  .transform((text): RateLimit => {
    const [limit, windowSec] = text.split('/').map(Number);
    return { limit: limit ?? 1, windowSec: windowSec ?? 1 };
  });

function wholeNumber(minimum: number, maximum: number): z.ZodCoercedNumber {
  const message = `must be a whole number from ${minimum} to ${maximum}`;
  return z.coerce.number(message).int(message).min(minimum, message).max(maximum, message);
}

/** A quota of teams that have none of their own; 0: no limit. */
function limit(byDefault: number) {
  const message = 'must be a whole number; 0: no limit';
  return z.coerce.number(message).int(message).min(0, message).default(byDefault);
}

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
  DORMOUSE_MAX_RUNNING: limit(200),
  DORMOUSE_MAX_PAUSED: limit(2_000),
  DORMOUSE_MAX_SNAPSHOT_BYTES: limit(1024 ** 4),
  DORMOUSE_SUPERVISED: z.enum(['0', '1']).default('0'),
  DORMOUSE_SIGNUP: z.enum(['open', 'closed'], 'must be open or closed').default('open'),
  DORMOUSE_SIGNUPS_PER_ADDRESS: rate.prefault('10/3600'),
  DORMOUSE_LOGINS_PER_ADDRESS: rate.prefault('30/300'),
  DORMOUSE_LOGINS_PER_EMAIL: rate.prefault('10/900'),
  DORMOUSE_KEY_FAILURES_PER_ADDRESS: rate.prefault('60/60'),
  DORMOUSE_TRUSTED_PROXIES: wholeNumber(0, 16).default(0),
  DORMOUSE_AUDIT_DAYS: wholeNumber(1, 36_500).default(365),
  DORMOUSE_WEBHOOK_PRIVATE: z.enum(['refuse', 'allow'], 'must be refuse or allow').default('refuse'),
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
  /** Of teams that have none of their own. */
  readonly quotas: Quotas;
  /** Leave when stdin closes: whoever started us is gone. */
  readonly supervised: boolean;
  /** Whether anybody may make an account. */
  readonly signUpOpen: boolean;
  readonly limits: AccessLimits;
  /** How many proxies stand before us and add to X-Forwarded-For; 0: the header is not believed. */
  readonly trustedProxies: number;
  /** How long audit logs are kept. */
  readonly auditDays: number;
  /** Whether webhooks may lead to this host and its networks. */
  readonly webhooksMayBePrivate: boolean;
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
    quotas: {
      running: value.DORMOUSE_MAX_RUNNING || null,
      paused: value.DORMOUSE_MAX_PAUSED || null,
      snapshotBytes: value.DORMOUSE_MAX_SNAPSHOT_BYTES || null,
    },
    supervised: value.DORMOUSE_SUPERVISED === '1',
    signUpOpen: value.DORMOUSE_SIGNUP === 'open',
    limits: {
      signUps: value.DORMOUSE_SIGNUPS_PER_ADDRESS,
      logIns: value.DORMOUSE_LOGINS_PER_ADDRESS,
      logInsOfEmail: value.DORMOUSE_LOGINS_PER_EMAIL,
      keyFailures: value.DORMOUSE_KEY_FAILURES_PER_ADDRESS,
    },
    trustedProxies: value.DORMOUSE_TRUSTED_PROXIES,
    auditDays: value.DORMOUSE_AUDIT_DAYS,
    webhooksMayBePrivate: value.DORMOUSE_WEBHOOK_PRIVATE === 'allow',
  };
}
