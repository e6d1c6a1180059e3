import type { Template } from '@dormouse/host-api';
import type { Services } from '../context.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';

/** The templates of the host, by name. */
export async function hostTemplates({ host }: Pick<Services, 'host'>): Promise<readonly Template[]> {
  const { templates } = await hostCall(host.listTemplates({}, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  return templates.sort((a, b) => (a.name < b.name ? -1 : 1));
}
