import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { corrupt, subjectOf } from '../errors.js';
import { GENERATION_ID } from '../generation-id.js';
import { GenerationMemory } from '../memory/generation-memory.js';
import { PackedPages } from '../packed-pages/packed-pages-reader.js';
import { decodePageMap, sealOfMap } from '../page-map/page-map-codec.js';
import { decodeWorkingSet, WORKING_SET } from '../working-set/working-set-codec.js';
import { decodeManifest, MANIFEST, type Manifest } from './manifest.js';

/** Where generations are: an opened store, or only the path of one. */
export interface GenerationPlace {
  readonly root: string;
}

/** What is known of the pages to send ahead. */
export interface RecordedWorkingSet {
  /** In order of first touch; empty where nothing usable is recorded. */
  readonly pages: readonly number[];
  /** Why a recorded set is not used: to be reported, and no reason not to restore. */
  readonly problem: DormouseError | undefined;
}

/**
 * The manifest of a committed generation, verified.
 *
 * @throws DormouseError `not_found`: there is no such generation; `snapshot_corrupt`
 */
export function readManifest(place: GenerationPlace, id: string): Manifest {
  if (!GENERATION_ID.test(id)) throw new DormouseError('not_found', `${JSON.stringify(id)} is no generation`);
  const directory = join(place.root, id);
  let text: string;
  try {
    text = readFileSync(join(directory, MANIFEST), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    if (statSync(directory, { throwIfNoEntry: false }) !== undefined) {
      throw corrupt(subjectOf(MANIFEST, id), 'is missing', error);
    }
    throw new DormouseError('not_found', `generation ${id} does not exist`, { cause: error });
  }
  return decodeManifest(text, id);
}

/** Where a file of a committed generation is. */
export function artifactPath(place: GenerationPlace, id: string, name: string): string {
  return join(place.root, id, name);
}

/**
 * Opens the memory of a committed generation. Manifest and page map are verified here, the files of its chain when
 * they are first needed, every page when it is read.
 *
 * @throws DormouseError `not_found`; `invalid_state`: it has a disk only; `snapshot_corrupt`
 */
export function openMemory(place: GenerationPlace, id: string): GenerationMemory {
  const { memory, artifacts } = readManifest(place, id);
  if (memory === null)
    throw new DormouseError('invalid_state', `generation ${id} has no memory, only a disk`);
  const subject = subjectOf('memory.map', id);
  const bytes = readArtifact(place, id, 'memory.map');
  const map = decodePageMap(bytes, subject);
  const sources = map.sources.filter((source) => source !== id);
  if (
    sealOfMap(bytes) !== artifacts['memory.map']?.sha256 ||
    map.pageCount !== memory.pageCount ||
    sources.join() !== memory.sources.join()
  ) {
    throw corrupt(subject, 'does not match the manifest');
  }
  return new GenerationMemory(map, (source) => openPackedPages(place, source, id));
}

/**
 * The pages to send ahead when a generation is restored. Never throws for what is recorded: a set that is damaged or
 * missing costs time, not correctness.
 */
export function readWorkingSet(place: GenerationPlace, id: string, pageCount: number): RecordedWorkingSet {
  const subject = subjectOf(WORKING_SET, id);
  try {
    const bytes = readFileSync(artifactPath(place, id, WORKING_SET));
    return { pages: decodeWorkingSet(bytes, id, pageCount, subject), problem: undefined };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { pages: [], problem: undefined };
    const problem = error instanceof DormouseError ? error : corrupt(subject, 'cannot be read', error);
    return { pages: [], problem };
  }
}

function openPackedPages(place: GenerationPlace, source: string, wantedBy: string): PackedPages {
  const subject = subjectOf('memory.pages', source);
  let manifest: Manifest;
  try {
    manifest = readManifest(place, source);
  } catch (error) {
    const missing = error instanceof DormouseError && error.code === 'not_found';
    if (missing)
      throw corrupt(`generation ${source}`, `is missing, which generation ${wantedBy} needs`, error);
    throw error;
  }
  const pages = PackedPages.open(artifactPath(place, source, 'memory.pages'), subject);
  if (pages.footer.seal !== manifest.artifacts['memory.pages']?.sha256) {
    pages[Symbol.dispose]();
    throw corrupt(subject, 'does not match its manifest');
  }
  return pages;
}

function readArtifact(place: GenerationPlace, id: string, name: string): Buffer {
  try {
    return readFileSync(artifactPath(place, id, name));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw corrupt(subjectOf(name, id), 'is missing', error);
    throw error;
  }
}
