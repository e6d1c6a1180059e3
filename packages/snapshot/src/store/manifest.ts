import { createHash } from 'node:crypto';
import { z } from 'zod';
import { corrupt, subjectOf } from '../errors.js';
import { GENERATION_ID } from '../generation-id.js';
import { MAX_PAGES } from '../page.js';
import type { PageCounts } from '../page-map/memory-diff.js';
import { MAX_SOURCES } from '../page-map/page-map.js';
import type { MachineFacts } from './machine.js';

/** Files of a generation that never change once it is committed. */
export const ARTIFACTS: readonly ['device.bin', 'memory.map', 'memory.pages', 'disk.qcow2'] = [
  'device.bin',
  'memory.map',
  'memory.pages',
  'disk.qcow2',
];

export type ArtifactName = (typeof ARTIFACTS)[number];

/** The file that says what a generation is. */
export const MANIFEST = 'manifest.json';

/** What a disk layer lies on: the layer of another generation, or an image that is no generation. */
export type DiskBacking =
  | { readonly kind: 'generation'; readonly id: string }
  | { readonly kind: 'image'; readonly id: string };

/** How one artifact is known again. */
export interface ArtifactRecord {
  readonly bytes: number;
  /**
   * SHA-256 of the file; of `memory.map` the checksum at its end, of `memory.pages` that of its footer, which holds
   * the digest of every frame.
   */
  readonly sha256: string;
}

/** What became of the pages of the guest; see `PageCounts`. */
const countsSchema = z.strictObject({
  unchanged: z.int().nonnegative(),
  changed: z.int().nonnegative(),
  zeroed: z.int().nonnegative(),
  zero: z.int().nonnegative(),
});

const idSchema = z.string().regex(GENERATION_ID);
const artifactSchema = z.strictObject({
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** Memory of a generation, which `disk` generations do not have. */
export interface MemoryRecord {
  readonly pageCount: number;
  readonly counts: PageCounts;
  /** Other generations that hold pages of it. */
  readonly sources: readonly string[];
}

/** What a committed generation says of itself. */
export interface Manifest {
  readonly version: 1;
  readonly id: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** Memory and disk, or the disk alone. */
  readonly kind: 'full' | 'disk';
  /** What it was captured against or made from: lineage only, which need not exist any more. */
  readonly parent: string | null;
  readonly diskBacking: DiskBacking | null;
  readonly machine: MachineFacts;
  readonly memory: MemoryRecord | null;
  readonly artifacts: Readonly<Partial<Record<ArtifactName, ArtifactRecord>>>;
  /** Bytes of the artifacts together. */
  readonly ownBytes: number;
}

const manifestSchema = z
  .strictObject({
    version: z.literal(1),
    id: idSchema,
    createdAt: z.iso.datetime(),
    kind: z.enum(['full', 'disk']),
    parent: idSchema.nullable(),
    diskBacking: z
      .discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('generation'), id: idSchema }),
        z.strictObject({ kind: z.literal('image'), id: z.string().min(1) }),
      ])
      .nullable(),
    machine: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    memory: z
      .strictObject({
        pageCount: z.int().positive().max(MAX_PAGES),
        counts: countsSchema,
        sources: z.array(idSchema).max(MAX_SOURCES),
      })
      .nullable(),
    artifacts: z.partialRecord(z.enum(ARTIFACTS), artifactSchema),
    ownBytes: z.int().nonnegative(),
  })
  .refine((manifest) => (manifest.kind === 'full') === (manifest.memory !== null))
  .refine((manifest) => requiredArtifacts(manifest.kind).every((name) => name in manifest.artifacts));

const envelopeSchema = z.strictObject({ sha256: z.string(), manifest: manifestSchema });

/** What a generation of a kind cannot be without. */
export function requiredArtifacts(kind: Manifest['kind']): readonly ArtifactName[] {
  return kind === 'full' ? ARTIFACTS : ['disk.qcow2'];
}

/** The text of `manifest.json`. */
export function encodeManifest(manifest: Manifest): string {
  const sha256 = createHash('sha256').update(JSON.stringify(manifest)).digest('hex');
  return `${JSON.stringify({ sha256, manifest }, undefined, 1)}\n`;
}

/**
 * The manifest in the text of `manifest.json`.
 *
 * @param id whose it must be
 * @throws DormouseError `snapshot_corrupt`: not what `encodeManifest` has made, down to the last character
 */
export function decodeManifest(text: string, id: string): Manifest {
  const subject = subjectOf(MANIFEST, id);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw corrupt(subject, 'is not JSON', error);
  }
  const parsed = envelopeSchema.safeParse(json);
  if (!parsed.success) throw corrupt(subject, 'is not a manifest', parsed.error);
  // What was parsed is written again: that covers the checksum, and everything a checksum of values would leave out.
  const { manifest } = json as { manifest: Manifest };
  if (encodeManifest(manifest) !== text) throw corrupt(subject, 'does not match its checksum');
  if (manifest.id !== id) throw corrupt(subject, `belongs to generation ${manifest.id}`);
  return manifest;
}

/** Generations that another cannot be restored without. */
export function dependencies(manifest: Pick<Manifest, 'memory' | 'diskBacking'>): string[] {
  const disk = manifest.diskBacking?.kind === 'generation' ? [manifest.diskBacking.id] : [];
  return [...new Set([...(manifest.memory?.sources ?? []), ...disk])];
}
