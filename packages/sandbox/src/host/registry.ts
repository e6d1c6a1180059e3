import { DormouseError } from '@dormouse/errors';
import type { Sandbox } from '../actor/sandbox.js';

/** All sandboxes of a host, by id. */
export class Registry {
  readonly #byId = new Map<string, Sandbox>();

  list(): readonly Sandbox[] {
    return [...this.#byId.values()];
  }

  running(): readonly Sandbox[] {
    return this.list().filter(({ journal }) => journal.state === 'running');
  }

  find(id: string): Sandbox | undefined {
    return this.#byId.get(id);
  }

  /** @throws DormouseError `not_found` */
  get(id: string): Sandbox {
    const sandbox = this.find(id);
    if (sandbox !== undefined) return sandbox;
    throw new DormouseError('not_found', `there is no sandbox '${id}' on this host`);
  }

  /**
   * A sandbox, for somebody who knows it up to a generation.
   *
   * @throws DormouseError `not_found`; `invalid_state` when there has been a later one
   */
  current(id: string, generation: number): Sandbox {
    const sandbox = this.get(id);
    assertCurrent(sandbox, generation);
    return sandbox;
  }

  add(sandbox: Sandbox): void {
    this.#byId.set(sandbox.id, sandbox);
  }

  /** Takes out a sandbox that is no more, unless another has its id by now. */
  forget(sandbox: Sandbox): void {
    if (this.find(sandbox.id) === sandbox) this.#byId.delete(sandbox.id);
  }
}

/** @throws DormouseError `invalid_state` */
export function assertCurrent({ id, journal }: Sandbox, generation: number): void {
  if (journal.generation <= generation) return;
  throw new DormouseError('invalid_state', `sandbox ${id} has moved on to generation ${journal.generation}`);
}
