import { z } from 'zod';

/** GET /healthz: the process answers. */
export const Health = z
  .object({ status: z.literal('ok'), version: z.string().meta({ example: '0.1.0' }) })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof Health>;

/** GET /readyz: what it needs is there too. 503 when not. */
export const Readiness = z
  .object({
    status: z.enum(['ready', 'not_ready']),
    checks: z.object({
      database: z.string().meta({ description: '`ok`, or what is wrong', example: 'ok' }),
      host: z.string().meta({ description: '`ok`, or what is wrong', example: 'ok' }),
    }),
  })
  .meta({ id: 'Readiness' });
export type Readiness = z.infer<typeof Readiness>;
