import { setImmediate } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { storageError } from './errors.js';
import type { GenerationMemory } from './memory/generation-memory.js';
import { type PackedPagesOptions, PackedPagesWriter } from './packed-pages/packed-pages-writer.js';
import { type PageMap, PageMapBuilder } from './page-map/page-map.js';
import { encodePageMap } from './page-map/page-map-codec.js';
import type { CommitOptions } from './store/draft.js';
import type { GenerationStore } from './store/generation-store.js';
import type { DiskBacking, Manifest } from './store/manifest.js';
import { openMemory, readWorkingSet } from './store/read-generation.js';
import { writeNewFile } from './write-file.js';

/** Generations a memory may lie in before it should be flattened: each is an open file and a reason not to collect. */
export const DEFAULT_MAX_SOURCES = 8;

/** Pages copied before others get their turn on the event loop: a few milliseconds. */
const PAGES_A_TURN = 512;

export interface FlattenOptions extends PackedPagesOptions, CommitOptions {
  /** Generations that may stay sources, such as the template's that many share. Default none. */
  readonly keep?: readonly string[];
  /** A disk layer to put in place of the present one, of the same content: it is linked. Default: the present one. */
  readonly disk?: { readonly path: string; readonly backing: DiskBacking | undefined };
  readonly signal?: AbortSignal;
}

/** Whether a generation's memory lies in more generations than it should. */
export function isLongChain(manifest: Manifest, maxSources: number = DEFAULT_MAX_SOURCES): boolean {
  return manifest.memory !== null && manifest.memory.sources.length + 1 > maxSources;
}

/**
 * Makes a generation of the same content whose memory lies in itself and in the generations to keep, so that the
 * others can go. The old one stays until nobody refers to it. Every page is verified on the way.
 *
 * @returns manifest of the new generation
 * @throws DormouseError `not_found`; `invalid_state`: it has a disk only; `snapshot_corrupt`; `no_space`; `cancelled`
 */
export async function flatten(
  store: GenerationStore,
  id: string,
  options: FlattenOptions = {},
): Promise<Manifest> {
  const manifest = store.read(id);
  await using draft = await store.begin([id]);
  using memory = openMemory(store, id);
  const keep = new Set(options.keep);
  const target = draft.captureTarget;
  const map = await copyPages(memory, keep, target, options);
  writeNewFile(target.mapPath, encodePageMap(map));
  const own = [...map.runs()].reduce((sum, run) => sum + (run.source === draft.id ? run.count : 0), 0);
  const populated = map.populatedPages();
  await draft.adopt('device.bin', store.path(id, 'device.bin'));
  await draft.adopt('disk.qcow2', options.disk?.path ?? store.path(id, 'disk.qcow2'));
  const workingSet = readWorkingSet(store, id, map.pageCount).pages;
  if (workingSet.length > 0) await draft.writeWorkingSet(workingSet);
  const backing = options.disk === undefined ? manifest.diskBacking : options.disk.backing;
  return await draft.commit(
    {
      kind: 'full',
      parent: id,
      machine: manifest.machine,
      ...(backing === null || backing === undefined ? {} : { diskBacking: backing }),
      counts: { unchanged: populated - own, changed: own, zeroed: 0, zero: map.pageCount - populated },
    },
    options,
  );
}

async function copyPages(
  memory: GenerationMemory,
  keep: ReadonlySet<string>,
  target: { readonly id: string; readonly pagesPath: string },
  options: FlattenOptions,
): Promise<PageMap> {
  const builder = new PageMapBuilder();
  let sinceTurn = 0;
  try {
    using writer = new PackedPagesWriter(target.pagesPath, target.id, options);
    for (const run of memory.map.runs()) {
      if (run.source === undefined) builder.appendZero(run.count);
      else if (keep.has(run.source)) builder.append(run.count, run.source, run.packed);
      else {
        builder.append(run.count, target.id, writer.pageCount);
        for (let page = run.start; page < run.start + run.count; page++) {
          writer.append(memory.read(page)!, 0, 1);
          sinceTurn += 1;
          if (sinceTurn < PAGES_A_TURN) continue;
          sinceTurn = 0;
          await setImmediate();
          throwIfAborted(options.signal, target.id);
        }
      }
    }
    writer.finish();
  } catch (error) {
    throw storageError(`flattening into generation ${target.id}`, error);
  }
  return builder.build();
}

function throwIfAborted(signal: AbortSignal | undefined, id: string): void {
  if (!signal?.aborted) return;
  throw new DormouseError('cancelled', `flattening into generation ${id} was cancelled`, {
    cause: signal.reason,
  });
}
