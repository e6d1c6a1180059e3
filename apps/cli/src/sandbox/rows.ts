import type { ProcessInfo, SandboxEvent, SandboxInfo } from '@dormouse/sdk';
import { humanAge } from '../terminal/human.js';
import { printable } from '../terminal/printable.js';

/** One row of `sandbox ls` for each sandbox. */
export function sandboxRows(sandboxes: readonly SandboxInfo[], nowMs: number): string[][] {
  return sandboxes.map((sandbox) => [
    sandbox.id,
    sandbox.reason === null ? sandbox.state : `${sandbox.state} (${sandbox.reason})`,
    sandbox.template,
    String(sandbox.vcpus),
    `${sandbox.memoryMb} MiB`,
    humanAge(sandbox.createdAt, nowMs),
    labels(sandbox.metadata),
  ]);
}

/** Name and value of what is known of a sandbox. */
export function infoRows(sandbox: SandboxInfo): string[][] {
  const rows: [string, string | null][] = [
    ['id', sandbox.id],
    ['state', sandbox.state],
    ['reason', sandbox.reason],
    ['template', sandbox.template],
    ['snapshot', sandbox.parentSnapshot],
    ['vcpus', String(sandbox.vcpus)],
    ['memory', `${sandbox.memoryMb} MiB`],
    ['disk', `${sandbox.diskMb} MiB`],
    ['internet', sandbox.internet ? 'yes' : 'no'],
    ['timeout', sandbox.timeoutSec === 0 ? 'never' : `${sandbox.timeoutSec} s, then ${sandbox.onTimeout}`],
    ['labels', labels(sandbox.metadata) || null],
    ['created', sandbox.createdAt],
    ['started', sandbox.startedAt],
    ['last active', sandbox.lastActiveAt],
    ['expires', sandbox.expiresAt],
    ['paused', sandbox.pausedAt],
    ['resumed by', sandbox.resumedBy],
    ['memory lost', sandbox.onMemoryLoss === 'fail' ? 'stays paused' : 'boots from its disk'],
    ['host', sandbox.hostState === 'unreachable' ? `${sandbox.hostId} (unreachable)` : sandbox.hostId],
  ];
  return rows.flatMap(([name, value]) => (value === null ? [] : [[name, value]]));
}

/** One row of `sandbox ps` for each process. */
export function processRows(processes: readonly ProcessInfo[], nowMs: number): string[][] {
  return processes.map((process) => [
    String(process.pid),
    process.running ? 'running' : (process.signal ?? `exit ${process.exitCode}`),
    process.user,
    humanAge(process.startedAt, nowMs),
    process.tag ?? '',
    process.argv.join(' '),
  ]);
}

/** When, what, why. */
export function eventLine({ at, type, reason }: SandboxEvent): string {
  return printable(`${at}  ${type}${reason === null ? '' : `: ${reason}`}`);
}

function labels(metadata: Readonly<Record<string, string>>): string {
  return Object.entries(metadata)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}
