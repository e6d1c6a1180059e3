import { type RawBuilder, sql } from 'kysely';

// Written out, not with parameters: the planner takes a partial index only where it can prove that it covers a query.

/** Sandboxes that their team sees: those that were destroyed on request are gone for it. */
export const IS_VISIBLE: RawBuilder<boolean> = sql<boolean>`(deleted_at is null or state not in ('stopped', 'error'))`;

/** Sandboxes that have not ended. */
export const IS_LIVE: RawBuilder<boolean> = sql<boolean>`(state not in ('stopped', 'error'))`;

/** Snapshots that can be used. */
export const IS_READY: RawBuilder<boolean> = sql<boolean>`(state = 'ready')`;

/** Builds that are not done. */
export const IS_OPEN: RawBuilder<boolean> = sql<boolean>`(state in ('queued', 'running'))`;
