import pg from 'pg';

/** Whether the server has done what it was asked when the connection is lost. */
export type LostWhen = 'before' | 'after';

/** Loses connections of stores in this process, while it is not disposed. */
export interface DatabaseFaults extends Disposable {
  /** Statements since the last `start`. */
  readonly count: number;
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
  const query: Query = function (this: pg.Client, ...args: unknown[]) {
    const inner = this as unknown as Inner;
    const ours = counting && inner.connectionParameters.application_name === APPLICATION;
    if (!ours) return original.apply(this, args);
    count += 1;
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
    get lost() {
      return lost;
    },
    start: (nth, how = 'before') => {
      [count, at, when, lost, counting] = [0, nth, how, undefined, true];
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
