import { canFollow } from '@dormouse/lifecycle';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { HostEventRecord } from './event-record.js';
import { lockTeam } from './events.js';
import type { Mover } from './mover.js';
import type { Database } from './schema.js';
import { swap } from './transition.js';

/** The events of all teams, for what is told by hosts. */
export class SystemEvents {
  readonly #db: Kysely<Database>;
  readonly #mover: Mover;

  constructor(db: Kysely<Database>, mover: Mover) {
    this.#db = db;
    this.#mover = mover;
  }

  /**
   * Records what a host has done by itself, each event once, together with where it led the sandbox. Events of
   * sandboxes that this database does not know are left out.
   *
   * @returns those that were not known before
   */
  async record(hostId: string, events: readonly HostEventRecord[]): Promise<readonly HostEventRecord[]> {
    if (events.length === 0) return [];
    const ids = [...new Set(events.map(({ sandboxId }) => sandboxId))];
    return this.#db.transaction().execute(async (transaction) => {
      const rows = await transaction
        .selectFrom('sandboxes')
        .select(['id', 'team_id'])
        .where('id', '=', sql<string>`any(${ids})`)
        .execute();
      const teams = new Map(rows.map(({ id, team_id }) => [id, team_id]));
      // In one order, so that two that record at once do not wait for each other.
      for (const teamId of [...new Set(teams.values())].toSorted()) await lockTeam(transaction, teamId);
      const recorded: HostEventRecord[] = [];
      for (const event of events) {
        const teamId = teams.get(event.sandboxId);
        if (teamId === undefined || !(await this.#insert(transaction, hostId, teamId, event))) continue;
        recorded.push(event);
        await this.#lead(transaction, hostId, teamId, event);
      }
      return recorded;
    });
  }

  async #insert(
    transaction: Transaction<Database>,
    hostId: string,
    teamId: string,
    event: HostEventRecord,
  ): Promise<boolean> {
    const inserted = await transaction
      .insertInto('events')
      .values({
        team_id: teamId,
        type: event.type,
        sandbox_id: event.sandboxId,
        snapshot_id: null,
        actor: `host:${hostId}`,
        reason: event.reason,
        data: JSON.stringify({}),
        host_id: hostId,
        host_event: event.number,
        host_key: event.key,
        at: event.at,
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    return (inserted.numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  /** Only the generation it tells of is moved: whoever has begun another VM knows better. */
  async #lead(
    transaction: Transaction<Database>,
    hostId: string,
    teamId: string,
    { type, sandboxId: id, generation, ledTo, at, reason }: HostEventRecord,
  ): Promise<void> {
    if (ledTo === null) return;
    const row = await transaction
      .selectFrom('sandboxes')
      .select(['state', 'generation'])
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    const next = { state: ledTo, generation };
    if (row === undefined || row.generation !== generation || row.state === ledTo) return;
    if (row.state === 'stopping' || row.state === 'resuming' || !canFollow(row, next)) return;
    const isOrdinary = type === 'sandbox.auto_paused' || type === 'sandbox.paused_with_host';
    const changes = { pausedAt: ledTo === 'paused' ? at : null, reason: isOrdinary ? null : reason };
    const mover = { ...this.#mover, actor: `host:${hostId}` };
    await swap(transaction, mover, teamId, { id, from: row, next, changes, silent: true });
  }
}
