import type { Role } from '@dormouse/auth';
import type { HostClient } from '@dormouse/host-api';
import type { AuditDetails, Store, TeamScope } from '@dormouse/store';
import type { HttpBindings } from '@hono/node-server';
import type { Logger } from 'pino';
import type { Access } from './access/access.js';
import type { EventFeed } from './events/feed.js';
import type { ControlPlaneMetrics } from './http/metrics.js';
import type { InFlight } from './sandboxes/in-flight.js';
import type { Operations } from './sandboxes/operations.js';
import type { WebhookSender } from './webhooks/sender.js';

/** Where builds of templates wait for a control plane that has time. */
export interface BuildQueue {
  /** Resolves when the build is in the queue. */
  add(teamId: string, id: string): Promise<void>;
}

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
  /** Wakes live streams of events. */
  readonly feed: EventFeed;
  /** What tells who is asking. */
  readonly access: Access;
  readonly buildJobs: BuildQueue;
  /** Tells receivers of events. */
  readonly webhooks: WebhookSender;
  readonly version: string;
}

/** Who is asking, and for which team. */
export interface Caller {
  readonly teamId: string;
  /** What the caller is in the team at this moment. */
  readonly role: Role;
  /** Who is logged in, or for whom the key acts. */
  readonly userId: string;
  /** The key; null for a login. */
  readonly keyId: string | null;
  /** The key's use is to be written down: that was not done for a while. */
  readonly keyUseIsDue: boolean;
  /** The e-mail of a login or the name of a key. */
  readonly label: string;
}

/** What a request carries on its way through the app. */
export interface AppEnv {
  Bindings: Partial<HttpBindings>;
  Variables: {
    requestId: string;
    log: Logger;
    /** Where the request comes from; null when the connection is gone already. */
    address: string | null;
    /** Set behind authentication. */
    caller: Caller;
    /** All that a handler may see of the database. */
    team: TeamScope;
    /** What the audit log is to hold besides who, what and which. */
    auditDetails: AuditDetails;
  };
}
