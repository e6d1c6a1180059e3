import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
});
afterAll(() => plane.close());
beforeEach(() => plane.host.reset());

test('a sandbox is created, shown, listed and destroyed', async () => {
  const created = await plane.request('/v1/sandboxes', { method: 'POST' });
  expect(created.status).toBe(201);
  console.log(await created.json());
  const id = await plane.createSandbox();
  console.log(await (await plane.request('/v1/sandboxes')).json());
  expect((await plane.request(`/v1/sandboxes/${id}`, { method: 'DELETE' })).status).toBe(204);
  expect((await plane.request(`/v1/sandboxes/${id}`)).status).toBe(404);
  console.log(plane.logged());
});
