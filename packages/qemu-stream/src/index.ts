export type { PageSource } from './postcopy/page-source.js';
export { PostcopySource } from './postcopy/postcopy-source.js';
export type { BackgroundOptions, RestoreOptions } from './postcopy/restore-options.js';
export { LATENCY_BOUNDS_US, type LatencySummary, type RestoreStatistics } from './postcopy/statistics.js';
export type { Configuration } from './saved/configuration.js';
export type { RamBlock, RamSection, SavedPage } from './saved/ram-section.js';
export { parseSavedStream, type SavedStream } from './saved/saved-stream.js';
