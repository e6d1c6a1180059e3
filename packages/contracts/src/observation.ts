import { z } from 'zod';
import { queryInteger, Timestamp } from './primitives.js';

/** Query of GET …/metrics. */
export const MetricsQuery = z
  .object({
    start: Timestamp.optional().meta({
      description: 'Oldest point wanted; default: the oldest that is kept',
    }),
    end: Timestamp.optional().meta({ description: 'Newest point wanted; default: the present moment' }),
  })
  .refine(
    ({ start, end }) => start === undefined || end === undefined || Date.parse(start) <= Date.parse(end),
    {
      path: ['end'],
      message: 'must not be before start',
    },
  );

export const MetricsPoint = z
  .object({
    at: Timestamp,
    uptime_ms: z.int().meta({ description: 'Since its kernel started', example: 60_000 }),
    cpu_count: z.int().meta({ description: 'Virtual CPUs', example: 2 }),
    cpu_busy_ms: z.int().meta({
      description: 'Summed over all CPUs, since boot: compare two points for the load between them',
      example: 4000,
    }),
    cpu_idle_ms: z.int().meta({ description: 'Summed over all CPUs, since boot', example: 116_000 }),
    memory_total_bytes: z.int().meta({ description: 'All memory its kernel has', example: 536_870_912 }),
    memory_available_bytes: z
      .int()
      .meta({ description: 'What programs could have without swapping', example: 402_653_184 }),
    memory_cached_bytes: z
      .int()
      .meta({ description: 'What caches of files take of it', example: 67_108_864 }),
    disk_total_bytes: z.int().meta({ description: 'Size of the root file system', example: 4_294_967_296 }),
    disk_used_bytes: z.int().meta({ description: 'What files take of it', example: 1_073_741_824 }),
    disk_available_bytes: z.int().meta({ description: 'What is left for files', example: 3_221_225_472 }),
    process_count: z
      .int()
      .meta({ description: 'Processes that were started through this API and run', example: 9 }),
  })
  .meta({ id: 'MetricsPoint' });
export type MetricsPoint = z.infer<typeof MetricsPoint>;

/** Oldest first. */
export const Metrics = z
  .object({ points: z.array(MetricsPoint).meta({ description: 'Oldest first' }) })
  .meta({ id: 'Metrics' });
export type Metrics = z.infer<typeof Metrics>;

export const MAX_CONSOLE_BYTES: number = 1024 * 1024;

/** Query of GET …/logs. */
export const LogsQuery = z.object({
  max_bytes: queryInteger(1, MAX_CONSOLE_BYTES).optional().meta({
    type: 'integer',
    minimum: 1,
    maximum: MAX_CONSOLE_BYTES,
    description: 'Newest bytes of the console to answer; default 65,536',
  }),
});

export const Logs = z
  .object({
    console: z.string().meta({
      description: 'Newest part of the console, as text',
      example: '[    0.000000] Linux version 6.1.0\n',
    }),
  })
  .meta({ id: 'Logs' });
export type Logs = z.infer<typeof Logs>;
