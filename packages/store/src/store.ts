import { randomUUID } from 'node:crypto';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { listenForEvents } from './listen.js';
import { migrate } from './migrations/index.js';
import type { Mover } from './mover.js';
import { NO_QUOTAS, type Quotas } from './quotas.js';
import type { Database } from './schema.js';
import { SystemRepository } from './system-repository.js';
import { TeamScope } from './team-scope.js';

/** How to reach the database. */
export interface StoreOptions {
  readonly databaseUrl: string;
  /** Most connections at once; default 10. */
  readonly poolSize?: number;
  /** Longest time of one statement in milliseconds; default 30,000. Migrations take as long as they take. */
  readonly statementTimeoutMs?: number;
  /** Of teams that have none of their own. Default: no limits. */
  readonly quotas?: Quotas;
  /** Called when an idle connection breaks; the pool replaces it by itself. */
  readonly onConnectionError?: (error: Error) => void;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** Nothing here runs long; a lock that is never released must not hold a request for ever. */
const STATEMENT_TIMEOUT_MS = 30_000;

/** An index on a table with millions of rows takes minutes; what takes longer than this hangs. */
const MIGRATION_TIMEOUT_MS = 3_600_000;

/** Everything durable. */
export class Store {
  readonly #db: Kysely<Database>;
  readonly #options: StoreOptions;
  readonly #mover: Mover;
  readonly system: SystemRepository;

  private constructor(db: Kysely<Database>, options: StoreOptions) {
    this.#db = db;
    this.#options = options;
    this.#mover = { actor: 'system', processId: randomUUID(), quotas: options.quotas ?? NO_QUOTAS };
    this.system = new SystemRepository(db, this.#mover);
  }

  /** Connects and brings the database's schema up to date. */
  static async open(options: StoreOptions): Promise<Store> {
    await bringUpToDate(options.databaseUrl);
    const pool = new pg.Pool({
      connectionString: options.databaseUrl,
      max: Math.max(2, options.poolSize ?? 10),
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
      application_name: 'dormouse',
    });
    pool.on('error', (error) => options.onConnectionError?.(error));
    // The pool listens only to idle clients. An 'error' event of a busy one without a listener would end the process;
    // the statement that it was at fails with the same error.
    pool.on('connect', (client) => client.on('error', () => undefined));
    return new Store(new Kysely<Database>({ dialect: new PostgresDialect({ pool }) }), options);
  }

  /**
   * What one team may see and change.
   *
   * @param actor who does that, for the events: `key:<id>`, `user:<id>` or, by default, `system`
   */
  forTeam(teamId: string, actor = 'system'): TeamScope {
    return new TeamScope(this.#db, teamId, { ...this.#mover, actor });
  }

  /**
   * Tells of every event that any control plane writes, by its team, over a connection of its own, until the signal
   * fires. Told with undefined when the connection was lost for a while: anything may have happened.
   */
  listen(onEvent: (teamId: string | undefined) => void, stop: AbortSignal): Promise<void> {
    return listenForEvents(this.#options.databaseUrl, onEvent, stop);
  }

  /** Throws when the database does not answer. */
  async ping(): Promise<void> {
    await sql`select 1`.execute(this.#db);
  }

  async close(): Promise<void> {
    await this.#db.destroy();
  }
}

/** Migrates over connections of its own, whose statements may take longer than those of requests. */
async function bringUpToDate(databaseUrl: string): Promise<void> {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: 2,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: MIGRATION_TIMEOUT_MS,
    application_name: 'dormouse migrations',
  });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  try {
    await migrate(db);
  } finally {
    await db.destroy();
  }
}
