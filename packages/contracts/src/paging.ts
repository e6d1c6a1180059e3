import { z } from 'zod';
import { queryInteger } from './primitives.js';

export const DEFAULT_PAGE_SIZE = 100;
export const MAX_PAGE_SIZE = 1000;

/** Query parameters of every list. */
export const PageQuery = z.object({
  limit: queryInteger(1, MAX_PAGE_SIZE).optional().meta({
    type: 'integer',
    minimum: 1,
    maximum: MAX_PAGE_SIZE,
    description: 'Most items to answer; default 100',
  }),
  cursor: z.string().max(1024).optional().meta({ description: '`next_cursor` of the page before' }),
});

export const NextCursor = z
  .string()
  .nullable()
  .meta({ description: 'Pass as `cursor` for the next page; null on the last page', example: null });
