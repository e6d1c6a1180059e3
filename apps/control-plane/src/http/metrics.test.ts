import { readFile } from 'node:fs/promises';
import type { Store } from '@dormouse/store';
import { expect, test } from 'vitest';
import { createMetrics } from './metrics.js';

/** What Node.js tells of a process. */
const OF_NODE = /^(process|nodejs)_/;

test('every metric of the control plane is documented, and every documented one exists', async () => {
  // Nothing is counted here, so there is no need of a database.
  const { registry } = createMetrics({} as Store);
  const names = registry
    .getMetricsAsArray()
    .map(({ name }) => name)
    .filter((name) => !OF_NODE.test(name));
  const architecture = await readFile(new URL('../../../../ARCHITECTURE.md', import.meta.url), 'utf8');
  const [, section = ''] = architecture.split('\n## Metrics\n');
  const [ofControlPlane = ''] = section.split('\nand of the host');
  const documented = [...ofControlPlane.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  expect(names.toSorted()).toEqual(documented.toSorted());
  expect(names.length).toBeGreaterThan(10);
});
