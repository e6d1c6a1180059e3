import { findTemplate, type Template } from '@dormouse/rootfs';
import type { MachineFacts } from '@dormouse/snapshot';
import type { Sandbox } from '../actor/sandbox.js';
import { newSandboxId, resolveSpec, type SandboxSpec } from '../config/sandbox-spec.js';
import type { SandboxEnvironment } from '../environment.js';
import type { FrozenTemplates } from '../records/frozen-templates.js';
import { awaitReady } from '../transitions/await-ready.js';
import type { Origin } from '../transitions/first-vm.js';
import { machineFacts } from '../vm/machine.js';

/** Has a sandbox nobody knows of for as long as `use` takes. @throws DormouseError `no_capacity` as well */
export type Scratch = <T>(
  spec: SandboxSpec,
  origin: Origin,
  use: (sandbox: Sandbox) => Promise<T>,
) => Promise<T>;

/** Freezes templates, booted and ready, so that their sandboxes begin with a lazy restore. */
export class TemplateFreezer {
  readonly #environment: SandboxEnvironment;
  readonly #frozen: FrozenTemplates;
  readonly #scratch: Scratch;
  readonly #freezing = new Map<string, Promise<'frozen' | 'was frozen'>>();

  constructor(environment: SandboxEnvironment, frozen: FrozenTemplates, scratch: Scratch) {
    this.#environment = environment;
    this.#frozen = frozen;
    this.#scratch = scratch;
  }

  /** The generation that a template was frozen into for this size of machine, kernel, agent and VMM, if it was. */
  async find(template: Template, spec: SandboxSpec): Promise<string | undefined> {
    return this.#frozen.find(template.name, template.imageId, await this.#key(template, spec));
  }

  /** Generations to keep. */
  generations(): readonly string[] {
    return this.#frozen.generations();
  }

  /**
   * Freezes a template, unless that has been done for this image, kernel, agent and VMM. Equal calls join.
   *
   * @throws DormouseError `boot_failed` also when it does not become ready; `pause_failed`, `restore_failed`,
   *   `no_capacity`, `no_space`
   */
  freeze(name: string): Promise<'frozen' | 'was frozen'> {
    const running = this.#freezing.get(name) ?? this.#freeze(name).finally(() => this.#freezing.delete(name));
    this.#freezing.set(name, running);
    return running;
  }

  /** Has sandboxes of a template wait for somebody to want one, and processes for VMs, as many as the host was told. */
  async warmUp(name: string): Promise<void> {
    const { standbyPool, readyPool, pageServers } = this.#environment;
    const { template, spec } = await this.#standard(name);
    await Promise.all([standbyPool.refill(spec), pageServers.fill()]);
    const generationId = await this.find(template, spec);
    if (generationId !== undefined) await readyPool.refill({ spec, generationId });
  }

  async #freeze(name: string): Promise<'frozen' | 'was frozen'> {
    const { template, spec } = await this.#standard(name);
    const known = await this.find(template, spec);
    if (known !== undefined && (await this.#environment.store.list()).includes(known)) return 'was frozen';
    const generationId = await this.#scratch(spec, { kind: 'boot' }, async (sandbox) => {
      if (template.ready !== undefined) await awaitReady(await sandbox.guest(), template.ready);
      await sandbox.pause();
      return await sandbox.moment('full', async ({ id }) => {
        // Until it is written down nobody collects it.
        await this.#frozen.put(name, template.imageId, await this.#key(template, spec), id);
        return id;
      });
    });
    await this.#recordWorkingSet(spec, generationId);
    return 'frozen';
  }

  /** Restores it once: what the greeting and a first command touch is what the next ones get first. */
  async #recordWorkingSet(spec: SandboxSpec, generationId: string): Promise<void> {
    const origin = { kind: 'generation', id: generationId, orBoot: false } as const;
    await this.#scratch(spec, origin, async (sandbox) => {
      const guest = await sandbox.guest();
      const process = await guest.startProcess({ argv: ['/bin/sh', '-c', 'true'], listed: false });
      await process.exit;
      await sandbox.loaded();
    });
  }

  /** A sandbox as it is when nobody asks for anything in particular. */
  async #standard(name: string): Promise<{ readonly template: Template; readonly spec: SandboxSpec }> {
    const template = await findTemplate(this.#environment.config.assetsDir, name);
    const request = { template: name, envs: {}, internet: true };
    return { template, spec: resolveSpec(newSandboxId(), request, template) };
  }

  /** What a frozen template depends on: the machine, and when it was said to be ready. */
  async #key({ ready = '' }: Template, spec: SandboxSpec): Promise<MachineFacts> {
    return { ...(await machineFacts(this.#environment, spec)), ready };
  }
}
