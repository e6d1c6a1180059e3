import { z } from 'zod';
import { DisplayName } from './identity.js';
import { NextCursor } from './paging.js';
import { Timestamp } from './primitives.js';

export const CreateApiKeyRequest = z
  .strictObject({
    name: DisplayName.meta({ description: 'To recognise it by', example: 'laptop' }),
  })
  .meta({ id: 'CreateApiKeyRequest' });
export type CreateApiKeyRequest = z.input<typeof CreateApiKeyRequest>;

export const ApiKey = z
  .object({
    id: z.uuid().meta({ description: 'Id of the key', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c01' }),
    name: z.string().meta({ description: 'What you call it', example: 'laptop' }),
    prefix: z.string().meta({ description: 'How the key begins', example: 'dor_1a2b3c4d' }),
    created_at: Timestamp,
    last_used_at: Timestamp.nullable(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKey = z.infer<typeof ApiKey>;

export const CreatedApiKey = ApiKey.extend({
  key: z
    .string()
    .meta({ description: 'The key itself, shown this once', example: `dor_${'1a2b3c4d'.repeat(8)}` }),
}).meta({ id: 'CreatedApiKey' });
export type CreatedApiKey = z.infer<typeof CreatedApiKey>;

export const ApiKeyList = z
  .object({
    api_keys: z.array(ApiKey).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'ApiKeyList' });
export type ApiKeyList = z.infer<typeof ApiKeyList>;
