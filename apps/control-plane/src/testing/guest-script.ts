import { FileType, SandboxState } from '@dormouse/host-api';
import type { HostScript } from './scripted-host.js';

/** A guest in which every command succeeds, every path is a file of four bytes, and every write is read to its end. */
export function guestScript(): HostScript {
  return {
    getSandbox: ({ id }) => ({ sandbox: { id, state: SandboxState.RUNNING } }),
    exec: async function* () {
      yield { message: { case: 'started' as const, value: { pid: 7 } } };
      yield { message: { case: 'stdout' as const, value: Buffer.from('done\n') } };
      yield { message: { case: 'exited' as const, value: { exitCode: 0, signal: 0 } } };
    },
    listProcesses: () => ({ processes: [{ pid: 7, running: true, startedAtMs: 1n, argv: ['sleep'] }] }),
    signalProcess: () => ({}),
    readFile: async function* ({ path }) {
      yield { message: { case: 'entry' as const, value: entry(path) } };
      yield { message: { case: 'data' as const, value: Buffer.from('0123') } };
    },
    writeFile: async (requests) => {
      let path = '';
      for await (const { message } of requests) if (message.case === 'start') path = message.value.path;
      return { entry: entry(path) };
    },
    statFile: ({ path }) => ({ entry: entry(path) }),
    listDirectory: async function* ({ path }) {
      yield { entries: [entry(`${path}/a`), entry(`${path}/b`)] };
    },
    makeDirectory: ({ path }) => ({ entry: entry(path) }),
    removeFile: () => ({}),
    getMetrics: () => ({ points: [{ atMs: BigInt(Date.now()), uptimeMs: 1000n, cpuCount: 2 }] }),
    readConsole: () => ({ data: Buffer.from('booted\n') }),
  };
}

function entry(path: string) {
  return {
    name: path.split('/').at(-1) ?? '',
    path,
    type: FileType.FILE,
    mode: 0o644,
    owner: 'user',
    group: 'user',
    size: 4n,
    modifiedAtMs: 1n,
  };
}
