import type { Snapshot, SnapshotType } from '@dormouse/contracts';
import { decodeCursor, encodeCursor, type Page, type PageRequest, type TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { hostTemplates } from '../templates/host-templates.js';
import { presentBase, presentSnapshot } from './present.js';

/** Cursors of this form are places in the list of templates, which has no times to go by. */
const BASE_CURSOR = /^base-(\d{1,6})$/;

/**
 * One page of what sandboxes can be made of: the team's snapshots, newest first, then the templates by name.
 *
 * @param type only these
 * @throws DormouseError `invalid_request` for a cursor that is none
 */
export async function listSnapshots(
  services: Services,
  team: TeamScope,
  type: SnapshotType | undefined,
  page: PageRequest,
): Promise<Page<Snapshot>> {
  const from = page.cursor === undefined ? undefined : BASE_CURSOR.exec(decodeCursor(page.cursor).id)?.[1];
  if (from !== undefined || type === 'base') return basePage(services, Number(from ?? 0), page.limit);
  const kept = await team.snapshots.list(page);
  const ancestors = await team.snapshots.ancestors(kept.items.map(({ id }) => id));
  const items = kept.items.map((record) => presentSnapshot(record, ancestors.get(record.id) ?? []));
  if (kept.nextCursor !== null || type === 'snapshot') return { items, nextCursor: kept.nextCursor };
  const bases = await basePage(services, 0, page.limit - items.length);
  return { items: [...items, ...bases.items], nextCursor: bases.nextCursor };
}

async function basePage(services: Services, from: number, limit: number): Promise<Page<Snapshot>> {
  const templates = await hostTemplates(services);
  const end = from + limit;
  return {
    items: templates.slice(from, end).map(presentBase),
    nextCursor: end < templates.length ? encodeCursor({ createdAt: new Date(0), id: `base-${end}` }) : null,
  };
}
