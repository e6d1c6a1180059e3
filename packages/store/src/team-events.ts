import { DormouseError } from '@dormouse/errors';
import type { Kysely } from 'kysely';
import type { Page, PageRequest } from './cursor.js';
import type { EventRecord, NewEvent } from './event-record.js';
import { insertEvent, lockTeam } from './events.js';
import type { Mover } from './mover.js';
import type { Database } from './schema.js';

/** Which events of a team. */
export interface EventFilter {
  readonly sandboxId?: string | undefined;
}

/** What PostgreSQL's bigint holds, without its last digit. */
const ID_PATTERN = /^\d{1,18}$/;

/** What happened to the sandboxes and snapshots of one team. */
export class TeamEvents {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;
  readonly #mover: Mover;

  constructor(db: Kysely<Database>, teamId: string, mover: Mover) {
    this.#db = db;
    this.#teamId = teamId;
    this.#mover = mover;
  }

  /** Newest first. @throws DormouseError `invalid_request` for a cursor that is none */
  async list(filter: EventFilter, page: PageRequest): Promise<Page<EventRecord>> {
    let query = this.#of(filter)
      .orderBy('id', 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) query = query.where('id', '<', eventId(page.cursor));
    const rows = await query.execute();
    const items = rows.slice(0, page.limit);
    return { items, nextCursor: rows.length > page.limit ? (items.at(-1)?.id ?? null) : null };
  }

  /** Those that came after one, oldest first; all of them that there are, however many control planes write them. */
  async after(filter: EventFilter, id: string, limit: number): Promise<readonly EventRecord[]> {
    return this.#of(filter).where('id', '>', eventId(id)).orderBy('id').limit(limit).execute();
  }

  /** The newest one there is; '0' when there is none. */
  async newest(filter: EventFilter): Promise<string> {
    const row = await this.#of(filter).orderBy('id', 'desc').limit(1).executeTakeFirst();
    return row?.id ?? '0';
  }

  /** Writes down what is no move of one sandbox. */
  async add(event: NewEvent): Promise<void> {
    await this.#db.transaction().execute(async (transaction) => {
      await lockTeam(transaction, this.#teamId);
      await insertEvent(transaction, this.#teamId, this.#mover.actor, event);
    });
  }

  #of({ sandboxId }: EventFilter) {
    const query = this.#db.selectFrom('events').selectAll().where('team_id', '=', this.#teamId);
    return sandboxId === undefined ? query : query.where('sandbox_id', '=', sandboxId);
  }
}

function eventId(text: string): string {
  if (ID_PATTERN.test(text)) return text;
  throw new DormouseError('invalid_request', `'${text.slice(0, 32)}' is no id of an event`);
}
