import { z } from 'zod';

/** Every error of /v1. */
export const ErrorBody = z
  .object({
    error: z
      .object({
        code: z.string().meta({ description: 'Stable, for programs', example: 'not_found' }),
        message: z.string().meta({
          description: 'What happened and what to do, for people',
          example: 'there is no sandbox sb4f9k2m7q1x8c3v6b0n5z',
        }),
        request_id: z.string().meta({
          description: 'Also in the X-Request-Id header and in the server log',
          example: 'req_0b9c1f5e7a3d4c2f',
        }),
      })
      .meta({ description: 'What went wrong' }),
  })
  .meta({ id: 'Error' });
export type ErrorBody = z.infer<typeof ErrorBody>;
