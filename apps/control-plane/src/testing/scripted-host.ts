import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { DormouseError } from '@dormouse/errors';
import {
  connectHost,
  type HostClient,
  HostService,
  ResumedBy,
  SandboxState,
  toConnectError,
} from '@dormouse/host-api';

/** The calls of the host service, each replaceable by a test. */
export type HostScript = Partial<ServiceImpl<typeof HostService>>;

/** A host agent that does what a test says, behind a real socket. */
export interface ScriptedHost {
  readonly client: HostClient['host'];
  readonly socketPath: string;
  /** Replaces the answers of some calls, from now on. */
  script(calls: HostScript): void;
  /** Back to the answers it began with. */
  reset(): void;
  close(): Promise<void>;
}

/** Answers everything a sandbox's life needs, with nothing behind it. */
function defaults(): HostScript {
  return {
    getHost: () => ({
      hostId: 'host-1',
      agentVersion: '0.1.0',
      accelerator: 'tcg',
      cpuCount: 2,
      memoryTotalBytes: 8n << 30n,
    }),
    getHostMetrics: () => ({ exposition: '' }),
    listTemplates: () => ({
      templates: [
        {
          name: 'base',
          imageId: 'img-1',
          diskBytes: 4n << 30n,
          sizeBytes: 450_000_000n,
          createdAtMs: 1_767_225_600_000n,
          defaultVcpus: 2,
          defaultMemoryMb: 512,
        },
      ],
    }),
    listSandboxes: () => ({ sandboxes: [] }),
    createSandbox: ({ id, generation, spec }) => ({
      sandbox: {
        id,
        generation,
        state: SandboxState.RUNNING,
        ...(spec === undefined ? {} : { spec }),
        createdAtMs: BigInt(Date.now()),
        startedAtMs: BigInt(Date.now()),
        lastActiveAtMs: BigInt(Date.now()),
        imageId: 'img-1',
      },
    }),
    destroySandbox: () => ({}),
    getSandbox: ({ id }) => {
      throw new DormouseError('not_found', `there is no sandbox '${id}' on this host`);
    },
    touchSandbox: ({ id }) => ({ sandbox: { id, lastActiveAtMs: BigInt(Date.now()) } }),
    listEvents: () => ({ events: [] }),
    acknowledgeEvents: () => ({}),
    pauseSandbox: ({ id, generation }) => ({
      sandbox: { id, generation, state: SandboxState.PAUSED, pausedAtMs: BigInt(Date.now()) },
    }),
    resumeSandbox: ({ id, generation, reboot }) => ({
      sandbox: {
        id,
        generation,
        state: SandboxState.RUNNING,
        startedAtMs: BigInt(Date.now()),
        lastActiveAtMs: BigInt(Date.now()),
        resumedBy: reboot ? ResumedBy.REBOOT : ResumedBy.MEMORY,
      },
    }),
    forkSandbox: ({ children }) => ({
      results: children.map(({ id, generation }) => ({
        id,
        sandbox: { id, generation, state: SandboxState.RUNNING, startedAtMs: BigInt(Date.now()) },
      })),
    }),
    createSnapshot: ({ id, sandboxId, diskOnly }) => ({
      snapshot: { id, sandboxId, diskOnly, ownBytes: 1000n, totalBytes: 5000n },
    }),
    listSnapshots: () => ({ snapshots: [] }),
    deleteSnapshot: () => ({}),
  };
}

/** Starts a scripted host on a socket of its own. */
export async function startScriptedHost(): Promise<ScriptedHost> {
  const dir = await mkdtemp(join(tmpdir(), 'dormouse-host-'));
  const socketPath = join(dir, 'host.sock');
  let calls: HostScript = defaults();
  const server = createServer(
    { settings: { initialWindowSize: 1024 * 1024 } },
    connectNodeAdapter({
      routes: (router) =>
        router.service(
          HostService,
          dispatch(() => calls),
        ),
    }),
  );
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  await listen(server, socketPath);
  const { host, close } = connectHost(socketPath);
  return {
    client: host,
    socketPath,
    script: (some) => {
      calls = { ...calls, ...some };
    },
    reset: () => {
      calls = defaults();
    },
    close: async () => {
      close();
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function listen(server: Http2Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
}

/** Looks each call up when it is made, and turns what it throws into what a host agent sends. */
function dispatch(current: () => HostScript): ServiceImpl<typeof HostService> {
  const methods = HostService.methods.map((method) => {
    const call = (...args: unknown[]): unknown => {
      const implementation = current()[method.localName as keyof HostScript] as
        | ((...args: unknown[]) => unknown)
        | undefined;
      if (implementation === undefined) {
        throw toConnectError(new DormouseError('internal', `no answer is scripted for ${method.name}`));
      }
      return implementation(...args);
    };
    const streams = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
    const wrapped = streams
      ? async function* (...args: unknown[]) {
          try {
            yield* call(...args) as AsyncIterable<unknown>;
          } catch (error) {
            throw toConnectError(error);
          }
        }
      : async (...args: unknown[]) => {
          try {
            return await call(...args);
          } catch (error) {
            throw toConnectError(error);
          }
        };
    return [method.localName, wrapped] as const;
  });
  return Object.fromEntries(methods) as unknown as ServiceImpl<typeof HostService>;
}
