import { type DestinationStream, destination, type Logger, pino } from 'pino';

/** Fields that hold secrets wherever they turn up. None of them should ever be logged; this is the net below. */
const SECRET_FIELDS = [
  'apiKey',
  'key',
  'token',
  'secret',
  'password',
  'authorization',
  'databaseUrl',
  'envs',
];

/** JSON lines. */
export function createLogger(level: string, stream: DestinationStream = destination({ fd: 2 })): Logger {
  return pino(
    {
      level,
      base: { process: 'control-plane' },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: '[redacted]',
      },
      serializers: { err: (error: unknown) => describeError(error) },
    },
    stream,
  );
}

/** How many causes behind an error are worth a look. */
const MAX_CAUSES = 4;

/** What is known about an error, from a fixed set of fields: libraries hang connections with all they hold on theirs. */
function describeError(thrown: unknown, depth = 0): unknown {
  if (!(thrown instanceof Error)) return String(thrown);
  const { name, message, stack, cause } = thrown;
  const code =
    'code' in thrown && ['string', 'number'].includes(typeof thrown.code) ? thrown.code : undefined;
  return {
    name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined || depth >= MAX_CAUSES ? {} : { cause: describeError(cause, depth + 1) }),
  };
}

/** Libraries that write to the console write to the log: stdout belongs to whoever started us. */
export function redirectConsole(log: Logger): void {
  const write =
    (level: 'info' | 'warn' | 'error') =>
    (...values: unknown[]) => {
      const [first] = values;
      if (first instanceof Error) log[level]({ err: first }, 'console');
      else log[level](values.map(String).join(' '));
    };
  console.log = write('info');
  console.info = write('info');
  console.debug = write('info');
  console.warn = write('warn');
  console.error = write('error');
}
