import { dependencies, type Manifest } from '../store/manifest.js';

/** As much of manifests as collection looks at, by generation. */
export type GenerationGraph = ReadonlyMap<string, Pick<Manifest, 'memory' | 'diskBacking'>>;

/** Everything that the roots need, they themselves included, whether it exists or not. */
export function reachable(roots: Iterable<string>, graph: GenerationGraph): Set<string> {
  const found = new Set<string>(roots);
  // A set is walked in order of insertion, additions included, so this is the whole search.
  for (const id of found) {
    const manifest = graph.get(id);
    if (manifest === undefined) continue;
    for (const dependency of dependencies(manifest)) found.add(dependency);
  }
  return found;
}

/**
 * Orders generations so that each comes before what it needs: removing them in that order, and stopping anywhere,
 * leaves no generation without its dependencies.
 */
export function removalOrder(ids: Iterable<string>, graph: GenerationGraph): string[] {
  const victims = new Set(ids);
  const done = new Set<string>();
  const order: string[] = [];
  for (const first of victims) {
    // Depth first without recursion: a chain may be long.
    const path: string[] = [first];
    while (path.length > 0) {
      const id = path.at(-1)!;
      const manifest = graph.get(id);
      const next = (manifest === undefined ? [] : dependencies(manifest)).find(
        (dependency) => victims.has(dependency) && !done.has(dependency) && !path.includes(dependency),
      );
      if (next !== undefined) path.push(next);
      else {
        path.pop();
        if (!done.has(id)) order.push(id);
        done.add(id);
      }
    }
  }
  return order.reverse();
}
