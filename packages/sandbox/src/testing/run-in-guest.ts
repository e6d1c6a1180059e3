import type { Guest } from '@dormouse/guest-link';

/** What a command in a guest has done. */
export interface GuestRun {
  readonly exitCode: number;
  readonly signal: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a shell script in a guest to its end. */
export async function runInGuest(guest: Guest, script: string, user?: string): Promise<GuestRun> {
  const process = await guest.startProcess({
    argv: ['/bin/sh', '-c', script],
    ...(user === undefined ? {} : { user }),
  });
  const output: Record<string, Buffer[]> = { stdout: [], stderr: [] };
  for await (const { channel, data } of process.output) output[channel]?.push(Buffer.from(data));
  const { exitCode, signal } = await process.exit;
  const text = (channel: string): string => Buffer.concat(output[channel] ?? []).toString('utf8');
  return { exitCode, signal, stdout: text('stdout'), stderr: text('stderr') };
}
