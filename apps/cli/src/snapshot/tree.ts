import type { SnapshotInfo } from '@dormouse/sdk';
import { humanBytes } from '../terminal/human.js';
import { printable } from '../terminal/printable.js';

/** A snapshot or template and what descends from it. */
export interface TreeNode {
  readonly id: string;
  readonly name: string;
  readonly type: SnapshotInfo['type'];
  /** It is gone, and something that is there descends from it. */
  readonly deleted: boolean;
  /** What it alone takes on the host; null when it is gone. */
  readonly sizeBytes: number | null;
  readonly children: readonly TreeNode[];
}

interface GrowingNode extends TreeNode {
  sizeBytes: number | null;
  readonly children: GrowingNode[];
}

/**
 * The lines of descent of all snapshots as trees, whose roots are templates. A template is the same by its name: its
 * image changes when it is built again.
 */
export function growTree(snapshots: readonly SnapshotInfo[]): readonly TreeNode[] {
  const roots: GrowingNode[] = [];
  const nodes = new Map<string, GrowingNode>();
  const child = (siblings: GrowingNode[], entry: Omit<TreeNode, 'children' | 'sizeBytes'>): GrowingNode => {
    const key = entry.type === 'base' ? `base ${entry.name}` : entry.id;
    const known = nodes.get(key);
    if (known !== undefined) return known;
    const node = { ...entry, sizeBytes: null, children: [] };
    nodes.set(key, node);
    siblings.push(node);
    return node;
  };
  for (const { id, name, type, sizeBytes, lineage } of snapshots) {
    let siblings = roots;
    for (const ancestor of [...lineage].reverse()) siblings = child(siblings, ancestor).children;
    child(siblings, { id, name, type, deleted: false }).sizeBytes = sizeBytes;
  }
  sort(roots);
  return roots;
}

/** One line a node. */
export function drawTree(nodes: readonly TreeNode[], indent = ''): string[] {
  return nodes.flatMap((node, index) => {
    const isLast = index === nodes.length - 1;
    const isRoot = node.type === 'base';
    const line = `${indent}${isRoot ? '' : isLast ? '└─ ' : '├─ '}${label(node)}`;
    return [line, ...drawTree(node.children, `${indent}${isRoot ? '' : isLast ? '   ' : '│  '}`)];
  });
}

function label({ name, deleted, sizeBytes }: TreeNode): string {
  if (deleted) return `${printable(name)} (deleted)`;
  return sizeBytes === null ? printable(name) : `${printable(name)}  ${humanBytes(sizeBytes)}`;
}

function sort(nodes: GrowingNode[]): void {
  nodes.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const { children } of nodes) sort(children);
}
