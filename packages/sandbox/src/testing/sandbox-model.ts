import { newSandboxId, type SandboxRequest } from '../config/sandbox-spec.js';
import type { SandboxHost } from '../host/sandbox-host.js';
import { REGION_PAGES, Witness } from './witness.js';

/** What a sandbox, or a moment of one, must contain. */
export interface Content {
  readonly files: { readonly memory: Record<string, string>; readonly disk: Record<string, string> };
  /** What the pages of the witness's region stand for. */
  readonly pages: number[];
  count: number;
  readonly pid: number;
  readonly nameless: string;
}

/** A sandbox as it must be. */
export interface ModelSandbox {
  readonly id: string;
  state: 'running' | 'paused';
  generation: number;
  readonly content: Content;
}

/** Everything there must be. */
export interface Model {
  readonly sandboxes: ModelSandbox[];
  readonly snapshots: { readonly id: string; readonly content: Content }[];
  /** Makes names that differ. */
  made: number;
}

/** What the model is held against. */
export interface Real {
  readonly host: SandboxHost;
  /** Operations by kind, for the report. */
  readonly done: Map<string, number>;
}

const REQUEST: SandboxRequest = { template: 'base', envs: {}, internet: false };

export function copyOf(content: Content): Content {
  return structuredClone(content);
}

function witnessOf({ host }: Real, id: string): Witness {
  return new Witness(host.get(id));
}

/** @throws Error naming what differs */
export async function check(real: Real, { id, content }: ModelSandbox): Promise<void> {
  const witness = witnessOf(real, id);
  const files = await witness.files();
  const { pid, count, nameless } = await witness.state();
  const wrong = await witness.wrong(content.pages);
  const found = JSON.stringify([sorted(files.memory), sorted(files.disk), pid, count, nameless, wrong]);
  const { memory, disk } = content.files;
  const expected = JSON.stringify([
    sorted(memory),
    sorted(disk),
    content.pid,
    content.count,
    content.nameless,
    [],
  ]);
  if (found !== expected) throw new Error(`${id} has\n${found}\ninstead of\n${expected}`);
}

/**
 * The same, and the files once more from the disk: the guest's page cache is memory, and hides what a disk has lost.
 *
 * @throws Error naming what differs
 */
export async function checkDeeply(real: Real, one: ModelSandbox): Promise<void> {
  await check(real, one);
  const found = JSON.stringify(sorted(await witnessOf(real, one.id).filesOnDisk()));
  const expected = JSON.stringify(sorted(one.content.files.disk));
  if (found !== expected) throw new Error(`the disk of ${one.id} has\n${found}\ninstead of\n${expected}`);
}

function sorted(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** A sandbox of the template, with a witness in it. */
export async function create(model: Model, real: Real): Promise<void> {
  const id = newSandboxId();
  const sandbox = await real.host.create(id, 1, REQUEST);
  const { pid, count, nameless } = await (await Witness.start(sandbox)).state();
  const files = { memory: {}, disk: {} };
  const pages = Array.from({ length: REGION_PAGES }, () => 0);
  model.sandboxes.push({
    id,
    state: 'running',
    generation: 1,
    content: { files, pages, count, pid, nameless },
  });
}

/** Writes files into memory and onto the disk, fills pages, counts. */
export async function write(model: Model, real: Real, one: ModelSandbox, seed: number): Promise<void> {
  const witness = witnessOf(real, one.id);
  const name = `file-${seed % 5}`;
  for (const place of ['memory', 'disk'] as const) {
    one.content.files[place][name] = await witness.put(place, name, 1 + (seed % 100_000));
  }
  const value = ++model.made;
  const pages = new Map<number, number>();
  for (let page = seed % 7; page < REGION_PAGES; page += 1 + (seed % 31)) pages.set(page, value);
  await poke(witness, one, pages);
  one.content.count = await witness.bump();
}

/** Fills pages with zeros and removes a file. */
export async function zero(real: Real, one: ModelSandbox, seed: number): Promise<void> {
  const witness = witnessOf(real, one.id);
  const pages = new Map<number, number>();
  for (let page = seed % 5; page < REGION_PAGES; page += 1 + (seed % 13)) pages.set(page, 0);
  await poke(witness, one, pages);
  const name = `file-${seed % 5}`;
  for (const place of ['memory', 'disk'] as const) {
    if (one.content.files[place][name] === undefined) continue;
    await witness.remove(place, name);
    delete one.content.files[place][name];
  }
}

async function poke(witness: Witness, one: ModelSandbox, pages: ReadonlyMap<number, number>): Promise<void> {
  await witness.poke(pages);
  for (const [page, value] of pages) one.content.pages[page] = value;
}

export async function pause(real: Real, one: ModelSandbox): Promise<void> {
  await real.host.pause(one.id, one.generation, 'full');
  one.state = 'paused';
}

export async function resume(real: Real, one: ModelSandbox): Promise<void> {
  const sandbox = await real.host.resume(one.id, one.generation + 1);
  if (sandbox.journal.resumedBy !== 'memory')
    throw new Error(`${one.id} was booted: ${sandbox.journal.reason}`);
  one.generation += 1;
  one.state = 'running';
  await check(real, one);
}

/** A child that begins where a sandbox, running or paused, is; that one goes on. */
export async function fork(model: Model, real: Real, one: ModelSandbox): Promise<void> {
  const child = { id: newSandboxId(), generation: 1 };
  const [result] = await real.host.fork(one.id, [child]);
  if (result === undefined || 'error' in result) throw result?.error ?? new Error('a fork without a child');
  await add(model, real, child.id, one.content);
}

export async function snapshot(model: Model, real: Real, one: ModelSandbox): Promise<void> {
  const id = newSandboxId().replace('sb', 'sn');
  await real.host.createSnapshot(id, one.id, 'full');
  model.snapshots.push({ id, content: copyOf(one.content) });
}

export async function spawn(model: Model, real: Real, from: Model['snapshots'][number]): Promise<void> {
  const id = newSandboxId();
  await real.host.create(id, 1, { ...REQUEST, snapshotId: from.id });
  await add(model, real, id, from.content);
}

async function add(model: Model, real: Real, id: string, content: Content): Promise<void> {
  const sandbox: ModelSandbox = { id, state: 'running', generation: 1, content: copyOf(content) };
  model.sandboxes.push(sandbox);
  await check(real, sandbox);
}
