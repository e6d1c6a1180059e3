import type { ServiceImpl } from '@connectrpc/connect';
import type { HostService } from '@dormouse/host-api';
import { type Guest, listTemplates, readMetrics, type SandboxHost } from '@dormouse/sandbox';
import type { HostFacts } from '../host-facts.js';
import type { HostMetrics } from '../metrics/host-metrics.js';
import type { RpcBoundary } from './boundary.js';
import { watchEvents } from './events.js';
import { exec } from './exec.js';
import { listDirectory, readFile, userOption, writeFile } from './files.js';
import {
  entryMessage,
  eventMessage,
  forkMessage,
  metricsMessage,
  policyOf,
  processMessage,
  sandboxMessage,
  sandboxRequest,
  snapshotMessage,
  templateMessage,
} from './messages.js';

const DEFAULT_CONSOLE_BYTES = 65_536;
const MAX_CONSOLE_BYTES = 1024 * 1024;
const END_OF_TIME = BigInt(Number.MAX_SAFE_INTEGER);

/** The service on top of a host's sandboxes. Every method validates, acts and answers; the boundary maps errors. */
export function hostService(
  host: SandboxHost,
  facts: HostFacts,
  metrics: HostMetrics,
  assetsDir: string,
  boundary: RpcBoundary,
): Partial<ServiceImpl<typeof HostService>> {
  const answer = boundary.answer.bind(boundary);
  const stream = boundary.stream.bind(boundary);
  const withGuest = async <T>(sandboxId: string, work: (guest: Guest) => Promise<T>): Promise<T> => {
    using use = await host.get(sandboxId).use();
    return await work(use.guest);
  };
  return {
    getHost: () => answer(() => facts.describe(host)),
    getHostMetrics: () => answer(async () => ({ exposition: await metrics.expose(await host.figures()) })),
    listTemplates: () =>
      answer(async () => ({ templates: (await listTemplates(assetsDir)).map(templateMessage) })),

    listSandboxes: () => answer(async () => ({ sandboxes: host.list().map(sandboxMessage) })),
    getSandbox: ({ id }) => answer(async () => ({ sandbox: sandboxMessage(host.get(id)) })),
    createSandbox: ({ id, generation, spec, policy }) =>
      answer(async () => {
        const wanted = spec ?? { $typeName: 'dormouse.host.v1.SandboxSpec', ...EMPTY_SPEC };
        const request = sandboxRequest(wanted, policy);
        return { sandbox: sandboxMessage(await host.create(id, Number(generation), request)) };
      }),
    destroySandbox: ({ id }) =>
      answer(async () => {
        await host.destroy(id);
        return {};
      }),

    pauseSandbox: ({ id, generation, diskOnly }) =>
      answer(async () => ({
        sandbox: sandboxMessage(await host.pause(id, Number(generation), diskOnly ? 'disk' : 'full')),
      })),
    resumeSandbox: ({ id, generation, reboot, policy }) =>
      answer(async () => ({
        sandbox: sandboxMessage(
          await host.resume(id, Number(generation), { reboot, policy: policyOf(policy) }),
        ),
      })),
    forkSandbox: ({ id, children }) =>
      answer(async () => {
        const wanted = children.map((child) => ({
          id: child.id,
          generation: Number(child.generation),
          policy: policyOf(child.policy),
        }));
        return { results: (await host.fork(id, wanted)).map(forkMessage) };
      }),
    touchSandbox: ({ id, policy }) =>
      answer(async () => {
        const sandbox = host.get(id);
        sandbox.touch();
        await sandbox.setPolicy(policyOf(policy));
        return { sandbox: sandboxMessage(sandbox) };
      }),
    listEvents: () => answer(async () => ({ events: host.events.pending().map(eventMessage) })),
    watchEvents: (_request, context) => stream(context, (signal) => watchEvents(host.events, signal)),
    acknowledgeEvents: ({ number }) =>
      answer(async () => {
        await host.events.acknowledge(Number(number));
        return {};
      }),
    createSnapshot: ({ id, sandboxId, diskOnly, user, workdir }) =>
      answer(async () => {
        const defaults = { ...(user === '' ? {} : { user }), ...(workdir === '' ? {} : { workdir }) };
        const snapshot = await host.createSnapshot(id, sandboxId, diskOnly ? 'disk' : 'full', defaults);
        return { snapshot: snapshotMessage(snapshot, host.sizesOf(snapshot)) };
      }),
    listSnapshots: () =>
      answer(async () => ({
        snapshots: host.listSnapshots().map((snapshot) => snapshotMessage(snapshot, host.sizesOf(snapshot))),
      })),
    deleteSnapshot: ({ id }) =>
      answer(async () => {
        await host.deleteSnapshot(id);
        return {};
      }),

    exec: (requests, context) => stream(context, (signal) => exec(host, requests, signal)),
    listProcesses: ({ sandboxId }) =>
      answer(async () => ({
        processes: (await (await host.get(sandboxId).observe()).listProcesses()).map(processMessage),
      })),
    signalProcess: ({ sandboxId, pid, signal }) =>
      answer(async () => {
        await withGuest(sandboxId, (guest) => guest.signalProcess(pid, signal));
        return {};
      }),

    readFile: (request, context) => stream(context, (signal) => readFile(host, request, signal)),
    writeFile: (requests, { signal }) =>
      answer(async () => ({ entry: entryMessage(await writeFile(host, requests, signal)) })),
    statFile: ({ sandboxId, path, user }, { signal }) =>
      answer(async () => {
        const options = { ...userOption(user), signal };
        return { entry: entryMessage(await withGuest(sandboxId, (guest) => guest.stat(path, options))) };
      }),
    listDirectory: (request, context) => stream(context, (signal) => listDirectory(host, request, signal)),
    makeDirectory: ({ sandboxId, path, user, mode, parents }, { signal }) =>
      answer(async () => {
        const options = { ...userOption(user), ...(mode === 0 ? {} : { mode }), parents, signal };
        const entry = await withGuest(sandboxId, (guest) => guest.makeDirectory(path, options));
        return { entry: entryMessage(entry) };
      }),
    renameFile: ({ sandboxId, from, to, user }, { signal }) =>
      answer(async () => {
        const options = { ...userOption(user), signal };
        return {
          entry: entryMessage(await withGuest(sandboxId, (guest) => guest.rename(from, to, options))),
        };
      }),
    removeFile: ({ sandboxId, path, user, recursive }, { signal }) =>
      answer(async () => {
        const options = { ...userOption(user), recursive, signal };
        await withGuest(sandboxId, (guest) => guest.remove(path, options));
        return {};
      }),

    getMetrics: ({ sandboxId, fromMs = 0n, toMs = END_OF_TIME }) =>
      answer(async () => {
        const range = { fromMs: Number(fromMs), toMs: Number(toMs) };
        return { points: (await readMetrics(host.get(sandboxId), range)).map(metricsMessage) };
      }),
    readConsole: ({ sandboxId, maxBytes }) =>
      answer(async () => {
        const bytes = maxBytes === 0 ? DEFAULT_CONSOLE_BYTES : Math.min(maxBytes, MAX_CONSOLE_BYTES);
        return { data: await host.get(sandboxId).readConsole(bytes) };
      }),
  };
}

const EMPTY_SPEC = {
  template: '',
  vcpus: 0,
  memoryMb: 0,
  envs: {},
  internet: false,
  hostname: '',
  snapshotId: '',
};
