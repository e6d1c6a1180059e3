import { describe, expect, test } from 'vitest';
import { connectHost } from './client.js';
import { fromConnectError } from './errors.js';

describe('a client of a host agent that is not there', () => {
  test('fails with a code that says so, and can be closed', async () => {
    const client = connectHost('/nowhere/host-agent.sock');
    try {
      const error: unknown = await client.host.getHost({}).catch(fromConnectError);
      expect(error).toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(/^the host agent cannot be reached: /),
        suggestion: 'Try again in a few seconds; `dormouse up` restarts a host agent that has stopped.',
        notBegun: true,
      });
    } finally {
      client.close();
    }
  });
});
