import { rmSync } from 'node:fs';
import { readJsonObject, writeJsonFile } from '../json-file.js';
import type { ProcessIdentity } from './process-table.js';

/** What a running `up` leaves in the data directory for others to see. */
export interface UpState {
  readonly pid: number;
  /** null until the control plane answers. */
  readonly apiUrl: string | null;
  readonly processes: readonly (ProcessIdentity & { readonly name: string })[];
}

export function readUpState(path: string): UpState | undefined {
  let value: Readonly<Record<string, unknown>> | undefined;
  try {
    value = readJsonObject(path);
  } catch {
    // Nothing depends on it but better messages and the wait for orphans.
    return undefined;
  }
  if (typeof value?.pid !== 'number' || !Array.isArray(value.processes)) return undefined;
  const apiUrl = typeof value.apiUrl === 'string' ? value.apiUrl : null;
  return { pid: value.pid, apiUrl, processes: value.processes.filter(isNamedProcess) };
}

export function writeUpState(path: string, state: UpState): void {
  writeJsonFile(path, state);
}

export function removeUpState(path: string): void {
  rmSync(path, { force: true });
}

function isNamedProcess(value: unknown): value is UpState['processes'][number] {
  if (typeof value !== 'object' || value === null) return false;
  const { name, pid, startTicks } = value as Record<string, unknown>;
  return typeof name === 'string' && typeof pid === 'number' && typeof startTicks === 'string';
}
