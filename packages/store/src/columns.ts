/**
 * Names of columns to read, where not all are. Written as a record, so that the compiler misses none.
 *
 * @param all each of them
 */
export function columns<Column extends string>(all: Readonly<Record<Column, true>>): readonly Column[] {
  return Object.keys(all) as Column[];
}
