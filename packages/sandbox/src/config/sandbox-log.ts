/** Where a sandbox reports what operators want to know. */
export interface SandboxLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** The log of one sandbox: whatever it says names it. */
export function logOf(log: SandboxLog, sandboxId: string): SandboxLog {
  return {
    info: (fields, message) => log.info({ sandboxId, ...fields }, message),
    warn: (fields, message) => log.warn({ sandboxId, ...fields }, message),
  };
}
