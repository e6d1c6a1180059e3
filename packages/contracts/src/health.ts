import { z } from 'zod';

/** GET /healthz: the process answers. */
export const Health = z
  .object({
    status: z.literal('ok').meta({ description: 'That it answers' }),
    version: z.string().meta({ description: 'Version of the control plane', example: '0.1.0' }),
  })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof Health>;

/** GET /readyz: what it needs is there too. 503 when not. */
export const Readiness = z
  .object({
    status: z.enum(['ready', 'not_ready']).meta({ description: 'Whether requests can be served' }),
    checks: z
      .object({
        database: z.string().meta({ description: '`ok`, or what is wrong', example: 'ok' }),
        host: z.string().meta({ description: '`ok`, or what is wrong', example: 'ok' }),
      })
      .meta({ description: 'How each of them is' }),
  })
  .meta({ id: 'Readiness' });
export type Readiness = z.infer<typeof Readiness>;
