import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Of two processors vitest itself would use one. */
const maxWorkers = Math.max(2, availableParallelism() - 1);

/** Workspace packages resolve to their TypeScript sources, so tests need no build. */
const source = { resolve: { conditions: ['source'] }, ssr: { resolve: { conditions: ['source'] } } };

/** Where kernel, images and templates are kept between runs; the first run spends minutes on making them. */
const assetsDir = process.env.DORMOUSE_ASSETS_DIR ?? join(import.meta.dirname, '.dormouse', 'assets');

/**
 * Real virtual machines. Each file has its own host, directories and guests; a guest under emulation keeps about one
 * core busy. The bounds are those that only a hang exceeds, for emulation on a busy machine.
 */
const system = {
  fileParallelism: true,
  // In the lab host, whose processors are emulated too, guests side by side outlast the patience of a boot.
  maxWorkers: process.env.DORMOUSE_LAB === undefined ? 2 : 1,
  testTimeout: 300_000,
  hookTimeout: 300_000,
  globalSetup: './vitest.assets.ts',
  env: { DORMOUSE_ASSETS_DIR: assetsDir },
};

/** Tests that start real servers, databases or agents as processes: seconds each, so `npm run check` leaves them out. */
const SERVICES = [
  'apps/control-plane/src/{exec/exec,files/files,http/http,sandboxes/{sandboxes,sleep},start}.test.ts',
  'apps/control-plane/src/{snapshots/snapshots,reconciler/{reconcile-sleep,slow-host}}.test.ts',
  'apps/control-plane/src/{events/events,sandboxes/timeouts,usage/usage,reconciler/abandoned}.test.ts',
  'apps/control-plane/src/{access/limits,accounts/accounts,teams/teams,audit/audit}.test.ts',
  'apps/control-plane/src/{every-route,lost-database,reference,side-by-side}/*.test.ts',
  'apps/control-plane/src/{projects/projects,templates/builds}.test.ts',
  'apps/control-plane/src/observation/*.test.ts',
  'apps/control-plane/src/webhooks/{webhooks,deliveries,sender}.test.ts',
  'apps/cli/src/up/*.test.ts',
  'packages/guest-link/src/agent-*.test.ts',
  'packages/store/src/**/*.test.ts',
  'packages/snapshot/src/store/crash.test.ts',
  'packages/page-server/src/*.test.ts',
  'packages/sandbox/src/scenarios/{crash-pairs,fault-injection,power-cut,second-failures}.test.ts',
];

export default defineConfig({
  test: {
    projects: [
      {
        ...source,
        test: {
          name: 'unit',
          include: ['{packages,apps}/*/src/**/*.test.ts', 'bench/src/**/*.test.ts'],
          exclude: [...SERVICES, '**/*.vm.test.ts', '**/node_modules/**'],
          maxWorkers,
          testTimeout: 60_000,
        },
      },
      {
        ...source,
        test: { name: 'services', include: SERVICES, maxWorkers, testTimeout: 60_000 },
      },
      {
        ...source,
        test: {
          ...system,
          name: 'vm',
          include: ['{packages,apps}/*/src/**/*.vm.test.ts'],
        },
      },
      {
        ...source,
        test: {
          ...system,
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
        },
      },
    ],
  },
});
