import { z } from 'zod';

function counted(what: string, example: number) {
  return z.object({
    used: z.int().meta({ description: what, example }),
    limit: z.int().nullable().meta({ description: 'null: no limit', example: null }),
  });
}

export const Usage = z
  .object({
    running: counted('Sandboxes that run, or are on their way to or from that', 3).meta({
      description: 'Sandboxes that run, or are about to',
    }),
    paused: counted('Paused sandboxes', 12).meta({ description: 'Sandboxes that are paused' }),
    snapshot_bytes: counted('Bytes that snapshots have for themselves', 734_003_200).meta({
      description: 'Bytes that snapshots take',
    }),
  })
  .meta({ id: 'Usage', description: 'What a team has, and what it may have at once' });
export type Usage = z.infer<typeof Usage>;
