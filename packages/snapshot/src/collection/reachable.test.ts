import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dependencies } from '../store/manifest.js';
import { type GenerationGraph, reachable, removalOrder } from './reachable.js';

type Node = readonly [sources: readonly number[], backing: number | undefined];

/** Random graphs, with circles and loose ends: nothing may depend on there being none. */
const graphs = fc
  .array(
    fc.tuple(
      fc.array(fc.nat({ max: 14 }), { maxLength: 3 }),
      fc.option(fc.nat({ max: 14 }), { nil: undefined }),
    ),
    { maxLength: 12 },
  )
  .map(graphOf);

function graphOf(nodes: readonly Node[]): GenerationGraph {
  const counts = { unchanged: 0, changed: 0, zeroed: 0, zero: 0 };
  return new Map(
    nodes.map(([sources, backing], id) => [
      String(id),
      {
        memory: { pageCount: 1, counts, sources: sources.map(String) },
        diskBacking: backing === undefined ? null : { kind: 'generation', id: String(backing) },
      },
    ]),
  );
}

describe('what is reachable', () => {
  test('hazard 19: is the smallest set that holds the roots and what its members need', () => {
    fc.assert(
      fc.property(graphs, fc.array(fc.nat({ max: 14 }).map(String), { maxLength: 3 }), (graph, roots) => {
        const found = reachable(roots, graph);
        for (const root of roots) expect(found.has(root)).toBe(true);
        for (const id of found) {
          for (const needed of dependencies(graph.get(id) ?? { memory: null, diskBacking: null })) {
            expect(found.has(needed)).toBe(true);
          }
        }
        // Nothing is in it for no reason: each is a root, or some other member needs it by a path from a root.
        const reasons = new Set(roots);
        for (let size = -1; size !== reasons.size; ) {
          size = reasons.size;
          for (const [id, manifest] of graph) {
            if (reasons.has(id)) for (const needed of dependencies(manifest)) reasons.add(needed);
          }
        }
        expect([...found].toSorted()).toEqual([...reasons].toSorted());
      }),
    );
  });

  test('counts images as nothing that could be collected', () => {
    const graph: GenerationGraph = new Map([
      ['a', { memory: null, diskBacking: { kind: 'image', id: 'b' } }],
      ['b', { memory: null, diskBacking: null }],
    ]);
    expect([...reachable(['a'], graph)]).toEqual(['a']);
  });
});

describe('the order of removal', () => {
  test('names each once, and in graphs without circles puts nothing behind what it needs', () => {
    const acyclic = fc
      .array(
        fc.tuple(
          fc.array(fc.nat({ max: 11 }), { maxLength: 3 }),
          fc.option(fc.nat({ max: 11 }), { nil: undefined }),
        ),
        {
          minLength: 1,
          maxLength: 12,
        },
      )
      .map((nodes) =>
        graphOf(
          nodes.map(([sources, backing], id): Node => {
            return [
              sources.filter((source) => source < id),
              backing !== undefined && backing < id ? backing : undefined,
            ];
          }),
        ),
      );
    fc.assert(
      fc.property(acyclic, (graph) => {
        const order = removalOrder(graph.keys(), graph);
        expect(order.toSorted()).toEqual([...graph.keys()].toSorted());
        for (const [position, id] of order.entries()) {
          for (const needed of dependencies(graph.get(id)!))
            expect(order.indexOf(needed)).toBeGreaterThan(position);
        }
      }),
    );
    fc.assert(
      fc.property(graphs, (graph) => {
        expect(removalOrder(graph.keys(), graph).toSorted()).toEqual([...graph.keys()].toSorted());
      }),
    );
  });
});
