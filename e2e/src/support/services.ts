import { childrenWith, processesWith } from './processes.js';
import type { Stack } from './stack.js';

/** What `up` supervises, and how to recognise its process. */
const SCRIPTS = {
  'host-agent': 'host-agent/dist/main.js',
  'control-plane': 'control-plane/dist/main.js',
  database: 'control-plane/dist/database.js',
} as const;

export type ServiceName = keyof typeof SCRIPTS;

/** Process id of a service of a stack, or undefined while it is not running. */
export async function servicePid(stack: Stack, name: ServiceName): Promise<number | undefined> {
  return (await childrenWith(stack.pid, SCRIPTS[name]))[0];
}

/** Process id of a stack's PostgreSQL server itself. */
export async function postmasterPid(stack: Stack): Promise<number | undefined> {
  return (await processesWith('postgres', '-D', `${stack.dataDir}/postgres/`))[0];
}
