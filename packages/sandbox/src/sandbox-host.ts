import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { findTemplate } from '@dormouse/rootfs';
import { checkRoom, type HostRoom, measureRoom, memoryLeft } from './capacity.js';
import { guestMemoryDir, sandboxesDir, sandboxPaths } from './host-config.js';
import { type Journal, readJournal } from './journal.js';
import { endProcessesOf } from './leftovers.js';
import { DELETING_PREFIX, Sandbox, type SandboxEnvironment } from './sandbox.js';
import { resolveSpec, SANDBOX_ID, type SandboxRequest } from './sandbox-spec.js';
import { canChangeUser, VmUserPool } from './vm-users.js';

const MIB = 1024 * 1024;
/** Directories with this prefix hold a journal that could not be understood; an operator decides about them. */
const BROKEN_PREFIX = '.broken-';

/** A create in flight. */
interface Creation {
  /** There is room and a name for it; from then on it can be cancelled. */
  readonly admitted: Promise<Sandbox>;
  readonly booted: Promise<Sandbox>;
}

/** All sandboxes of one host. */
export class SandboxHost {
  readonly #environment: SandboxEnvironment;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #creating = new Map<string, Creation>();
  readonly #users = canChangeUser() ? new VmUserPool() : undefined;

  private constructor(environment: SandboxEnvironment) {
    this.#environment = environment;
  }

  /**
   * Takes over what an earlier agent has left: running VMs are re-attached, half-made sandboxes are removed,
   * half-removed ones are finished, and RAM files that belong to nobody are freed.
   */
  static async open(environment: SandboxEnvironment): Promise<SandboxHost> {
    const host = new SandboxHost(environment);
    const { config } = environment;
    await mkdir(sandboxesDir(config), { recursive: true, mode: 0o711 });
    await mkdir(guestMemoryDir(config), { recursive: true, mode: 0o711 });
    for (const name of await readdir(sandboxesDir(config))) await host.#recover(name);
    await host.#freeOrphanedMemory();
    return host;
  }

  /** Room on this host and what may still be promised, in bytes. */
  async room(): Promise<HostRoom & { readonly memoryLeftBytes: number }> {
    const { config } = this.#environment;
    const room = await measureRoom(config.memoryDir, config.dataDir);
    return { ...room, memoryLeftBytes: memoryLeft(room, this.#promisedBytes()) };
  }

  list(): readonly Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  /** @throws DormouseError `not_found` */
  get(id: string): Sandbox {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined)
      throw new DormouseError('not_found', `there is no sandbox '${id}' on this host`);
    return sandbox;
  }

  /**
   * Makes and boots a sandbox. The same id again joins the boot in flight, or answers the sandbox there is.
   *
   * @throws DormouseError `invalid_request`, `not_found` (template), `no_capacity`, `no_space`, `boot_failed`,
   *   `invalid_state` when this host knows a newer generation of the sandbox
   */
  async create(id: string, generation: number, request: SandboxRequest): Promise<Sandbox> {
    if (!SANDBOX_ID.test(id)) throw new DormouseError('invalid_request', `'${id}' is no sandbox id`);
    const present = this.#sandboxes.get(id);
    if (present !== undefined && present.journal.generation > generation) {
      throw new DormouseError(
        'invalid_state',
        `sandbox ${id} has moved on to generation ${present.journal.generation}`,
      );
    }
    const inFlight = this.#creating.get(id);
    if (inFlight !== undefined) return await inFlight.booted;
    if (present !== undefined) return present;
    const admitted = this.#admit(id, generation, request);
    const booted = this.#bootAdmitted(admitted).finally(() => this.#creating.delete(id));
    this.#creating.set(id, { admitted, booted });
    return await booted;
  }

  /** Removes a sandbox and everything it holds, a boot in flight included. Unknown ids are fine: it is gone. */
  async destroy(id: string): Promise<void> {
    const admitted = this.#creating.get(id)?.admitted.catch(() => undefined);
    const sandbox = this.#sandboxes.get(id) ?? (await admitted);
    if (sandbox === undefined) return;
    await sandbox.destroy();
    this.#forget(sandbox);
  }

  /** Shuts every running sandbox down cleanly; their disks stay. Answers how many there were. */
  async shutDownAll(reason: string): Promise<number> {
    const running = this.list().filter((sandbox) => sandbox.journal.state === 'running');
    await Promise.all(running.map((sandbox) => sandbox.shutDown(reason)));
    return running.length;
  }

  /** Lets go of all VMs without ending them. */
  async release(): Promise<void> {
    await Promise.all(this.list().map((sandbox) => sandbox.release()));
  }

  async #bootAdmitted(admitted: Promise<Sandbox>): Promise<Sandbox> {
    const sandbox = await admitted;
    try {
      await sandbox.create();
      return sandbox;
    } catch (error) {
      this.#forget(sandbox);
      throw error;
    }
  }

  /** Everything that can be refused is refused here, before anything exists. */
  async #admit(id: string, generation: number, request: SandboxRequest): Promise<Sandbox> {
    const { config } = this.#environment;
    const spec = resolveSpec(id, request, await findTemplate(config.assetsDir, request.template));
    checkRoom(
      await measureRoom(config.memoryDir, config.dataDir),
      this.#promisedBytes(),
      spec.memoryMb * MIB,
    );
    const uid = this.#users?.take();
    const journal: Journal = {
      version: 1,
      id,
      generation,
      state: 'pending',
      spec,
      createdAtMs: Date.now(),
      ...(uid === undefined ? {} : { uid }),
    };
    const sandbox = new Sandbox(this.#environment, journal);
    this.#sandboxes.set(id, sandbox);
    return sandbox;
  }

  #forget(sandbox: Sandbox): void {
    if (this.#sandboxes.get(sandbox.id) !== sandbox) return;
    this.#sandboxes.delete(sandbox.id);
    const { uid } = sandbox.journal;
    if (uid !== undefined) this.#users?.release(uid);
  }

  #promisedBytes(): number {
    const alive = this.list().filter(({ journal }) => journal.state !== 'stopped');
    return alive.reduce((sum, { spec }) => sum + spec.memoryMb * MIB, 0);
  }

  async #recover(name: string): Promise<void> {
    const { config, log } = this.#environment;
    const dir = join(sandboxesDir(config), name);
    if (name.startsWith(DELETING_PREFIX)) {
      await rm(dir, { recursive: true, force: true });
      return;
    }
    if (!SANDBOX_ID.test(name)) return;
    const paths = sandboxPaths(config, name);
    let journal: Journal | undefined;
    try {
      journal = await readJournal(paths.journal);
    } catch (error) {
      await endProcessesOf(paths.runDir);
      await rename(dir, join(sandboxesDir(config), `${BROKEN_PREFIX}${name}-${Date.now()}`));
      log.warn(
        { sandboxId: name, err: fromUnknown(error) },
        'the journal cannot be understood; sandbox set aside',
      );
      return;
    }
    if (journal === undefined) {
      await endProcessesOf(paths.runDir);
      await rm(dir, { recursive: true, force: true });
      return;
    }
    const sandbox = new Sandbox(this.#environment, journal);
    if (journal.state === 'pending' || journal.state === 'stopping') {
      await sandbox.destroy();
      log.info({ sandboxId: name, state: journal.state }, 'finished what a crash had interrupted');
      return;
    }
    this.#sandboxes.set(name, sandbox);
    if (journal.uid !== undefined) this.#users?.adopt(journal.uid);
    if (journal.state === 'running') await sandbox.reattach();
    log.info({ sandboxId: name, state: sandbox.journal.state }, 'took over a sandbox');
  }

  async #freeOrphanedMemory(): Promise<void> {
    const dir = guestMemoryDir(this.#environment.config);
    for (const name of await readdir(dir)) {
      if (this.#sandboxes.get(name)?.journal.state !== 'running') await rm(join(dir, name), { force: true });
    }
  }
}
