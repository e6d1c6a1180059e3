import { DormouseError } from '@dormouse/errors';
import type { TeamScope, WebhookRecord } from '@dormouse/store';

/** @throws DormouseError `not_found` */
export async function findWebhook(team: TeamScope, id: string): Promise<WebhookRecord> {
  const webhook = await team.webhooks.find(id);
  if (webhook === undefined) throw noSuchWebhook(id);
  return webhook;
}

export function noSuchWebhook(id: string): DormouseError {
  return new DormouseError('not_found', `there is no webhook ${id.slice(0, 64)}`);
}
