import { DormouseError } from '@dormouse/errors';
import { Sandbox } from '../actor/sandbox.js';
import { DEFAULT_POLICY, type Policy } from '../config/policy.js';
import { newSandboxId, SANDBOX_ID, type SandboxSpec } from '../config/sandbox-spec.js';
import type { SandboxEnvironment } from '../environment.js';
import { pending } from '../records/journal.js';
import type { Origin } from '../transitions/first-vm.js';
import type { MemoryBudget } from './memory-budget.js';
import { assertCurrent, type Registry } from './registry.js';

/** What a new sandbox is made of. */
export interface Plan {
  readonly spec: SandboxSpec;
  readonly origin: Origin;
  readonly snapshotId?: string | undefined;
  readonly policy?: Policy | undefined;
}

/** A create in flight. */
interface InFlight {
  /** There is room and a name for it; from then on it can be cancelled. */
  readonly admitted: Promise<Admitted>;
  readonly begun: Promise<Sandbox>;
}

interface Admitted {
  readonly sandbox: Sandbox;
  readonly origin: Origin;
}

/** Makes sandboxes, each once. */
export class Creation {
  readonly #environment: SandboxEnvironment;
  readonly #registry: Registry;
  readonly #memory: MemoryBudget;
  readonly #inFlight = new Map<string, InFlight>();

  constructor(environment: SandboxEnvironment, registry: Registry, memory: MemoryBudget) {
    this.#environment = environment;
    this.#registry = registry;
    this.#memory = memory;
  }

  /**
   * Makes a sandbox and brings it to life. The same id again joins what is under way, or answers the sandbox there is.
   *
   * @param plan everything that can be refused is refused there, before anything exists
   * @throws DormouseError `invalid_request` for an id that is none, `invalid_state` when this host knows a newer
   *   generation; what the plan, the lack of room or the first VM throw
   */
  async create(id: string, generation: number, plan: () => Promise<Plan>): Promise<Sandbox> {
    if (!SANDBOX_ID.test(id)) throw new DormouseError('invalid_request', `'${id}' is no sandbox id`);
    const present = this.#registry.find(id);
    if (present !== undefined) assertCurrent(present, generation);
    const inFlight = this.#inFlight.get(id);
    if (inFlight !== undefined) return await inFlight.begun;
    if (present !== undefined) return present;
    const admitted = plan().then((planned) => this.#admit(id, generation, planned));
    const begun = this.#begin(admitted).finally(() => this.#inFlight.delete(id));
    this.#inFlight.set(id, { admitted, begun });
    return await begun;
  }

  /** The sandbox that is being made under an id, as soon as it can be cancelled; undefined when it is refused. */
  async admitted(id: string): Promise<Sandbox | undefined> {
    const admitted = await this.#inFlight.get(id)?.admitted.catch(() => undefined);
    return admitted?.sandbox;
  }

  /** Has a sandbox nobody knows of, for as long as `use` takes. @throws DormouseError `no_capacity` as well */
  async scratch<T>(spec: SandboxSpec, origin: Origin, use: (sandbox: Sandbox) => Promise<T>): Promise<T> {
    const id = newSandboxId();
    const { sandbox } = await this.#admit(id, 1, { spec: { ...spec, hostname: id }, origin });
    try {
      await sandbox.create(origin);
      return await use(sandbox);
    } finally {
      await sandbox.destroy();
      this.#registry.forget(sandbox);
    }
  }

  async #admit(
    id: string,
    generation: number,
    { spec, origin, snapshotId, policy = DEFAULT_POLICY }: Plan,
  ): Promise<Admitted> {
    using _reserved = await this.#memory.reserve(id, spec);
    const of = { id, generation, spec, policy, snapshotId, createdAtMs: Date.now() };
    const sandbox = new Sandbox(this.#environment, pending(of));
    // From here its state says what memory it holds.
    this.#registry.add(sandbox);
    return { sandbox, origin };
  }

  async #begin(admitted: Promise<Admitted>): Promise<Sandbox> {
    const { sandbox, origin } = await admitted;
    try {
      await sandbox.create(origin);
      return sandbox;
    } catch (error) {
      this.#registry.forget(sandbox);
      throw error;
    }
  }
}
