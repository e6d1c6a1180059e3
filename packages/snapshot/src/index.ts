export { type GenerationGraph, reachable } from './collection/reachable.js';
export { DEFAULT_MAX_SOURCES, type FlattenOptions, flatten, isLongChain } from './flatten.js';
export {
  type CapturedMemory,
  type CaptureOptions,
  type CaptureStep,
  type CaptureTarget,
  captureMemory,
  type ParentMemory,
} from './memory/capture.js';
export { GenerationMemory } from './memory/generation-memory.js';
export { PAGE_SIZE, type PageRange } from './page.js';
export type { PageCounts } from './page-map/memory-diff.js';
export { PageMap, type PageRun } from './page-map/page-map.js';
export type { DiskFormat } from './store/disk-backing.js';
export {
  type CommitOptions,
  type CommitStep,
  type DraftFile,
  GenerationDraft,
  type GenerationFacts,
} from './store/draft.js';
export {
  type Collected,
  type CollectOptions,
  type CollectStep,
  type GenerationSizes,
  GenerationStore,
  type Pin,
  type StoreOptions,
} from './store/generation-store.js';
export {
  compareMachine,
  describeDifferences,
  type MachineDifference,
  type MachineFacts,
} from './store/machine.js';
export type { ArtifactName, ArtifactRecord, DiskBacking, Manifest, MemoryRecord } from './store/manifest.js';
export {
  type GenerationPlace,
  openMemory,
  type RecordedWorkingSet,
  readManifest,
  readWorkingSet,
} from './store/read-generation.js';
export type { VerifyOptions } from './store/verify-generation.js';
export {
  inheritWorkingSet,
  type MergedWorkingSet,
  mergeWorkingSet,
  type WorkingSetLimits,
} from './working-set/merge-working-set.js';
