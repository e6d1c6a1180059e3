import type { Template } from '@dormouse/rootfs';
import { awaitReady } from '../transitions/await-ready.js';
import type { Origin } from '../transitions/first-vm.js';
import type { Sandbox } from './sandbox.js';

/** What freezing a template takes from its host. */
export interface FreezingHost {
  /** Has a sandbox nobody knows of for as long as `use` takes. */
  readonly scratch: <T>(use: (sandbox: Sandbox) => Promise<T>, origin: Origin) => Promise<T>;
  /** Writes down which generation the template was frozen into; until then nobody collects it. */
  readonly keep: (generationId: string) => Promise<void>;
}

/**
 * Boots a template, waits until it says that it is ready, freezes it, and restores it once, so that its working set is
 * recorded: that of the greeting and of a first command.
 *
 * @throws DormouseError `boot_failed` also when it does not become ready; `pause_failed`, `restore_failed`, `no_space`
 */
export async function freezeTemplate(template: Template, host: FreezingHost): Promise<void> {
  const generationId = await host.scratch(
    async (sandbox) => {
      if (template.ready !== undefined) await awaitReady(await sandbox.guest(), template.ready);
      await sandbox.pause();
      return await sandbox.moment('full', async ({ id }) => {
        await host.keep(id);
        return id;
      });
    },
    { kind: 'boot' },
  );
  await host.scratch(
    async (sandbox) => {
      const guest = await sandbox.guest();
      const process = await guest.startProcess({ argv: ['/bin/sh', '-c', 'true'], listed: false });
      await process.exit;
      await sandbox.loaded();
    },
    { kind: 'generation', id: generationId, orBoot: false },
  );
}
