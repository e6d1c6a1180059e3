import { DormouseError } from '@dormouse/errors';
import { readJsonObject } from './json-file.js';

/**
 * The API key that the control plane made at its first start.
 *
 * @returns undefined when there is no credentials file
 * @throws DormouseError `setup_failed` when the file holds no key, `not_permitted` when it may not be read
 */
export function readApiKey(path: string): string | undefined {
  const credentials = readJsonObject(path);
  if (credentials === undefined) return undefined;
  const key = credentials.apiKey ?? credentials.api_key;
  if (typeof key === 'string' && key !== '') return key;
  throw new DormouseError('setup_failed', `${path} holds no API key`, {
    suggestion: 'Remove it and start `dormouse up` again.',
  });
}
