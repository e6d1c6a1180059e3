import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { checkPort } from './ports.js';

test('a taken port is named together with who holds it', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  try {
    await expect(checkPort('127.0.0.1', port, '--api-port')).rejects.toMatchObject({
      code: 'port_in_use',
      message: expect.stringMatching(new RegExp(`^port ${port} is taken by .+ \\(pid ${process.pid}\\)$`)),
      suggestion: 'Choose another one with --api-port, or end what listens there.',
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  await checkPort('127.0.0.1', port, '--api-port');
});

test('an address of another machine is refused', async () => {
  await expect(checkPort('192.0.2.1', 4050, '--api-port')).rejects.toMatchObject({
    code: 'invalid_request',
    message: '192.0.2.1 is no address of this machine',
  });
});
