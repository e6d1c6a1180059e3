import { Sandbox } from '@dormouse/sdk';
import type { Bench } from '../figure.js';

/** Makes sandboxes, has something done with them, and deletes them whatever comes of it. */
export async function withSandboxes<T>(
  { stack: { apiUrl, apiKey }, progress }: Bench,
  count: number,
  use: (sandboxes: readonly Sandbox[]) => Promise<T>,
): Promise<T> {
  const sandboxes: Sandbox[] = [];
  try {
    while (sandboxes.length < count) {
      progress(`sandbox ${sandboxes.length + 1} of ${count}`);
      sandboxes.push(await Sandbox.create({ apiUrl, apiKey }));
    }
    return await use(sandboxes);
  } finally {
    await Promise.all(sandboxes.map((sandbox) => sandbox.delete()));
  }
}
