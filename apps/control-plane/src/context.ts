import type { HostClient } from '@dormouse/host-api';
import type { Store, TeamScope } from '@dormouse/store';
import type { HttpBindings } from '@hono/node-server';
import type { Logger } from 'pino';
import type { ControlPlaneMetrics } from './http/metrics.js';
import type { InFlight } from './sandboxes/in-flight.js';
import type { Operations } from './sandboxes/operations.js';

/** What every part of the control plane works with. */
export interface Services {
  readonly store: Store;
  readonly host: HostClient['host'];
  readonly log: Logger;
  readonly metrics: ControlPlaneMetrics;
  /** Sandboxes and snapshots that this process is changing right now. */
  readonly inFlight: InFlight;
  /** Orders what changes the life of one sandbox. */
  readonly operations: Operations;
  readonly version: string;
}

/** Who is asking. */
export interface Caller {
  readonly teamId: string;
  readonly keyId: string;
}

/** What a request carries on its way through the app. */
export interface AppEnv {
  Bindings: Partial<HttpBindings>;
  Variables: {
    requestId: string;
    log: Logger;
    /** Set behind authentication. */
    caller: Caller;
    /** All that a handler may see of the database. */
    team: TeamScope;
  };
}
