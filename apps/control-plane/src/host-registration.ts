import type { Services } from './context.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from './host-call.js';

const BYTES_PER_MB = 1024 * 1024;

/** Records the host agent as it describes itself now, and answers its id. */
export async function registerHost({ host, store }: Pick<Services, 'host' | 'store'>): Promise<string> {
  const described = await hostCall(host.getHost({}, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  await store.system.upsertHost({
    id: described.hostId,
    agentVersion: described.agentVersion,
    accelerator: described.accelerator,
    cpuCount: described.cpuCount,
    memoryTotalMb: Math.round(Number(described.memoryTotalBytes) / BYTES_PER_MB),
  });
  return described.hostId;
}
