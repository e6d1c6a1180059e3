import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { commandLineOf } from './process-table.js';

/** State of a listening socket in /proc/net/tcp. */
const LISTEN = '0A';

/** Longest part of a command line that is quoted. */
const QUOTED_CHARACTERS = 60;

/**
 * Makes sure a port can be listened on; 0 always can.
 *
 * @param option the command-line option to name: `--api-port`
 * @throws DormouseError `port_in_use`, `not_permitted`, or `invalid_request` when the address is not this machine's
 */
export async function checkPort(host: string, port: number, option: string): Promise<void> {
  if (port === 0) return;
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    throw portError(cause, host, port, option);
  } finally {
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  }
}

function portError(cause: unknown, host: string, port: number, option: string): DormouseError {
  switch (systemErrorCode(cause)) {
    case 'EADDRINUSE': {
      const holder = holderOf(port);
      return new DormouseError('port_in_use', `port ${port} is taken${holder ? ` by ${holder}` : ''}`, {
        cause,
        suggestion: `Choose another one with ${option}, or end what listens there.`,
      });
    }
    case 'EACCES':
      return new DormouseError('not_permitted', `not allowed to listen on port ${port}`, { cause });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new DormouseError('invalid_request', `${host} is no address of this machine`, {
        cause,
        suggestion: 'Use --host 127.0.0.1, or 0.0.0.0 for all addresses.',
      });
    default:
      return new DormouseError('setup_failed', `cannot listen on ${host} port ${port}`, { cause });
  }
}

/** `node server.js (pid 123)`, or undefined when it cannot be found out. */
export function holderOf(port: number): string | undefined {
  const inodes = new Set(['tcp', 'tcp6'].flatMap((table) => listeners(table, port)));
  if (inodes.size === 0) return undefined;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (!hasSocket(pid, inodes)) continue;
    const command = commandLineOf(Number(pid))?.slice(0, QUOTED_CHARACTERS) ?? 'a process';
    return `${command} (pid ${pid})`;
  }
  return undefined;
}

/** Inodes of the sockets that listen on a port (proc(5), /proc/net/tcp). */
function listeners(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return readLines(`/proc/net/${table}`)
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN && fields[1]?.endsWith(`:${wanted}`))
    .map((fields) => fields[9] ?? '');
}

function hasSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return target.startsWith('socket:[') && inodes.has(target.slice('socket:['.length, -1));
    });
  } catch {
    // The process ended meanwhile, or is not ours to look at.
    return false;
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'latin1').trimEnd().split('\n');
  } catch {
    return [];
  }
}
