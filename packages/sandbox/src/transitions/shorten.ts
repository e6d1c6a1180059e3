import { flattenLayer } from '@dormouse/rootfs';
import { type DiskBacking, flatten, isLongChain, type Manifest } from '@dormouse/snapshot';
import type { ChainLimits, SandboxEnvironment } from '../environment.js';

const DEFAULT_MAX_LAYERS = 16;

/** How a moment is shortened. */
export interface ShortenOptions extends ChainLimits {
  /** Generations that stay below it, because many share them. */
  readonly keep: readonly string[];
  readonly signal?: AbortSignal;
  /** Told of the new generation before anybody could collect it. */
  readonly onShort: (short: Manifest) => Promise<void>;
}

/**
 * Copies a moment whose memory or disk lies in a long chain into a generation of its own, of the same content. The old
 * one stays until nobody refers to it. Does nothing when its chains are short.
 *
 * @throws DormouseError `snapshot_corrupt`, `no_space`, `cancelled`
 */
export async function shorten(
  environment: SandboxEnvironment,
  generationId: string,
  options: ShortenOptions,
): Promise<void> {
  const { store, layers } = environment;
  // Its sandbox may be resumed or deleted meanwhile, and what it was paused in collected.
  using _pin = store.pin(generationId);
  const manifest = store.read(generationId);
  if (manifest.kind !== 'full') return;
  const { keep, signal, onShort: onCommitted, maxLayers = DEFAULT_MAX_LAYERS } = options;
  const chain = diskChain(environment, manifest);
  const isLongDisk = chain.length > maxLayers;
  if (!isLongDisk && !isLongChain(manifest, options.maxSources)) return;
  const common = { keep, onCommitted, ...(signal === undefined ? {} : { signal }) };
  if (!isLongDisk) {
    await flatten(store, generationId, common);
    return;
  }
  const backing = chain.find((below) => below.kind === 'image' || keep.includes(below.id))!;
  const layer = layers.newId();
  try {
    await flattenLayer(
      store.path(generationId, 'disk.qcow2'),
      layers.path(layer),
      {
        path: layers.basePath(backing),
        format: backing.kind === 'image' ? 'raw' : 'qcow2',
      },
      signal,
    );
    await flatten(store, generationId, { ...common, disk: { path: layers.path(layer), backing } });
  } finally {
    await layers.remove(layer);
  }
}

/** What the disk of a generation lies on, one below the other, down to the image. */
function diskChain({ store }: SandboxEnvironment, top: Manifest): readonly DiskBacking[] {
  const chain: DiskBacking[] = [];
  for (let below = top.diskBacking; below !== null; ) {
    chain.push(below);
    below = below.kind === 'image' ? null : store.read(below.id).diskBacking;
  }
  return chain;
}
