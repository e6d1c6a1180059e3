import pg from 'pg';

/** Whether the server has done what it was asked when the connection is lost. */
export type LostWhen = 'before' | 'after';

/** A statement, and whether it can be told apart from the one before it whether the connection is lost there. */
export interface LosingPoint {
  /** From 1. */
  readonly at: number;
  readonly when: LostWhen;
}

/** Loses connections of stores in this process, while it is not disposed. */
export interface DatabaseFaults extends Disposable {
  /** Statements since the last `start`. */
  readonly count: number;
  /**
   * Where losing the connection makes a difference, of the statements since the last `start`: before each call of the
   * store, and after what it has written for good. Within a transaction nothing is written for good but its end.
   */
  readonly points: readonly LosingPoint[];
  /** What was lost since the last `start`; undefined: nothing yet. */
  readonly lost: string | undefined;
  /**
   * Counts statements from now on and loses the connection at one of them.
   *
   * @param at from 1; Infinity: counts only
   */
  start(at: number, when?: LostWhen): void;
  /** Statements are neither counted nor lost any more. */
  stop(): void;
}

/** The name by which stores connect; the queue of builds and listeners have other names. */
const APPLICATION = 'dormouse';

type Query = (this: pg.Client, ...args: unknown[]) => unknown;
interface Inner {
  readonly connectionParameters: { readonly application_name?: string };
  readonly connection: { readonly stream: { destroy(): void } };
}

/**
 * Takes over how this process sends statements to PostgreSQL. A connection that is lost is really lost: its socket is
 * destroyed, and the pool replaces it.
 */
export function interceptDatabase(): DatabaseFaults {
  const original = pg.Client.prototype.query as unknown as Query;
  let [count, at, when]: [number, number, LostWhen] = [0, Number.POSITIVE_INFINITY, 'before'];
  let counting = false;
  let lost: string | undefined;
  let points: LosingPoint[] = [];
  const inTransaction = new WeakSet<pg.Client>();
  const note = (client: pg.Client, text: string): void => {
    const inside = inTransaction.has(client);
    const ends = /^(commit|rollback)/i.test(text);
    if (/^(begin|start transaction)/i.test(text)) inTransaction.add(client);
    if (ends) inTransaction.delete(client);
    if (!inside) points.push({ at: count, when: 'before' });
    const isWrite = /^\s*(insert|update|delete|with)/i.test(text);
    if (ends || (!inside && isWrite)) points.push({ at: count, when: 'after' });
  };
  const query: Query = function (this: pg.Client, ...args: unknown[]) {
    const inner = this as unknown as Inner;
    const ours = counting && inner.connectionParameters.application_name === APPLICATION;
    if (!ours) return original.apply(this, args);
    count += 1;
    note(this, textOf(args[0]));
    if (count !== at) return original.apply(this, args);
    lost = textOf(args[0]);
    const { stream } = inner.connection;
    if (when === 'before') {
      stream.destroy();
      return original.apply(this, args);
    }
    return (original.apply(this, args) as Promise<unknown>).then(() => {
      stream.destroy();
      throw new Error('Connection terminated unexpectedly');
    });
  };
  (pg.Client.prototype as unknown as { query: Query }).query = query;
  return {
    get count() {
      return count;
    },
    get points() {
      return points;
    },
    get lost() {
      return lost;
    },
    start: (nth, how = 'before') => {
      [count, at, when, lost, counting, points] = [0, nth, how, undefined, true, []];
    },
    stop: () => {
      counting = false;
    },
    [Symbol.dispose]: () => {
      (pg.Client.prototype as unknown as { query: Query }).query = original;
    },
  };
}

function textOf(config: unknown): string {
  if (typeof config === 'string') return config;
  if (typeof config === 'object' && config !== null && 'text' in config) return String(config.text);
  return 'a statement';
}
