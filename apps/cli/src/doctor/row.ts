/** One thing a machine has or lacks. */
export interface DoctorRow {
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do; empty when there is nothing to do. */
  readonly fix: string;
}

export function ok(name: string, detail: string): DoctorRow {
  return { name, status: 'ok', detail, fix: '' };
}

export function warn(name: string, detail: string, fix: string): DoctorRow {
  return { name, status: 'warn', detail, fix };
}

export function fail(name: string, detail: string, fix: string): DoctorRow {
  return { name, status: 'fail', detail, fix };
}

/** A row another program printed, or undefined when it is none. */
export function parseRow(value: unknown): DoctorRow | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { name, status, detail, fix } = value as Record<string, unknown>;
  if (typeof name !== 'string' || typeof detail !== 'string') return undefined;
  if (status !== 'ok' && status !== 'warn' && status !== 'fail') return undefined;
  return { name, status, detail, fix: typeof fix === 'string' ? fix : '' };
}

/** Our rows, each replaced by the other's of the same name, then what only the other has. */
export function mergeRows(ours: readonly DoctorRow[], theirs: readonly DoctorRow[]): readonly DoctorRow[] {
  const byName = new Map(theirs.map((row) => [row.name, row]));
  const names = new Set(ours.map(({ name }) => name));
  return [
    ...ours.map((row) => byName.get(row.name) ?? row),
    ...theirs.filter(({ name }) => !names.has(name)),
  ];
}
