import type { Quotas } from './quotas.js';

/** Who changes what, for the events; and which process does it, so that others can tell when it is gone. */
export interface Mover {
  /** `key:<id>`, `user:<id>`, `host:<id>` or `system`. */
  readonly actor: string;
  /** The control plane. */
  readonly processId: string;
  /** Where a team has none of its own. */
  readonly quotas: Quotas;
}
