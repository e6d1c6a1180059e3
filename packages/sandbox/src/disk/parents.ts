import type { Disk } from './disk.js';

/** The generations that a moment of a sandbox refers to. */
export function parentsOf(of: {
  readonly disk: Disk;
  readonly memoryBase: string | undefined;
}): readonly string[] {
  const disk = of.disk.base.kind === 'generation' ? [of.disk.base.id] : [];
  return [...new Set([...disk, ...(of.memoryBase === undefined ? [] : [of.memoryBase])])];
}
