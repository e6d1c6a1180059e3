import { createRequire, syncBuiltinESMExports } from 'node:module';

/** What a file system call was asked to do, as far as faults choose by it. */
export interface Call {
  /** Name of the function: `open`, `rename`; of methods of an open file `FileHandle.sync`. */
  readonly name: string;
  /** First path of the call; empty for methods of an open file. */
  readonly path: string;
}

/** Faults that are in force until `restore`. */
export interface Faults extends Disposable {
  /** Calls so far that a fault could have met. */
  readonly calls: readonly Call[];
  restore(): void;
}

type Functions = Record<string, (...args: unknown[]) => unknown>;

/** Calls of `node:fs/promises` that reach the file system. */
const ASYNC = [
  'access',
  'chmod',
  'chown',
  'copyFile',
  'link',
  'mkdir',
  'open',
  'readFile',
  'readdir',
  'rename',
  'rm',
  'stat',
  'statfs',
  'truncate',
  'unlink',
  'writeFile',
] as const;
/** Calls of `node:fs` that the engine makes synchronously. */
const SYNC = ['openSync', 'readFileSync', 'renameSync', 'statSync', 'writeSync'] as const;
/** Methods of open files. */
const HANDLE = ['chown', 'datasync', 'read', 'sync', 'truncate', 'write'] as const;

/** Calls that a full disk lets fail. */
export const NEEDS_ROOM: ReadonlySet<string> = new Set([
  'copyFile',
  'link',
  'mkdir',
  'open',
  'truncate',
  'writeFile',
  'writeSync',
  ...['datasync', 'sync', 'truncate', 'write'].map((method) => `FileHandle.${method}`),
]);

/**
 * Lets file system calls of this process fail. `fail` is asked before every call and answers the error code to fail
 * with, or undefined. Works for modules that import `node:fs` and `node:fs/promises` by name.
 */
export async function injectFaults(fail: (call: Call, index: number) => string | undefined): Promise<Faults> {
  const require = createRequire(import.meta.url);
  const promises = require('node:fs/promises') as Functions & {
    open(path: string, flags: string): Promise<{ close(): Promise<void> }>;
  };
  const handle = await promises.open('/dev/null', 'r');
  const handles = Object.getPrototypeOf(handle) as Functions;
  await handle.close();
  return patch(fail, [
    { target: promises, names: ASYNC, prefix: '' },
    { target: require('node:fs') as Functions, names: SYNC, prefix: '' },
    { target: handles, names: HANDLE, prefix: 'FileHandle.' },
  ]);
}

/** Lets every call on paths that are chosen fail, as for a process that is dead. Open files are left alone. */
export function failEverything(chosen: (path: string) => boolean): Faults {
  const require = createRequire(import.meta.url);
  return patch(
    ({ path }) => (chosen(path) ? 'EIO' : undefined),
    [
      { target: require('node:fs/promises') as Functions, names: ASYNC, prefix: '' },
      { target: require('node:fs') as Functions, names: SYNC, prefix: '' },
    ],
  );
}

/** Lets the first read of a path that is chosen fail. Reads only: for what needs nothing else to fail. */
export function failOnce(code: string, chosen: (path: string) => boolean): Faults {
  const require = createRequire(import.meta.url);
  const promises = require('node:fs/promises') as Functions;
  let failed = false;
  const fail = ({ path }: Call): string | undefined => {
    if (failed || !chosen(path)) return undefined;
    failed = true;
    return code;
  };
  return patch(fail, [{ target: promises, names: ['readFile'], prefix: '' }]);
}

interface Patch {
  readonly target: Functions;
  readonly names: readonly string[];
  readonly prefix: string;
}

function patch(fail: (call: Call, index: number) => string | undefined, patches: readonly Patch[]): Faults {
  const calls: Call[] = [];
  const undo: (() => void)[] = [];
  for (const { target, names, prefix } of patches) {
    for (const name of names) {
      const real = target[name]!;
      const isSync = name.endsWith('Sync');
      target[name] = function (this: unknown, ...args: unknown[]): unknown {
        const path = prefix === '' && typeof args[0] === 'string' ? args[0] : '';
        const call = { name: prefix + name, path };
        const code = fail(call, calls.length);
        calls.push(call);
        if (code === undefined) return real.apply(this, args);
        const error = Object.assign(new Error(`${code}: injected, ${call.name} '${path}'`), { code });
        if (isSync) throw error;
        return Promise.reject(error);
      };
      undo.push(() => {
        target[name] = real;
      });
    }
  }
  syncBuiltinESMExports();
  const restore = (): void => {
    for (const step of undo.splice(0)) step();
    syncBuiltinESMExports();
  };
  return { calls, restore, [Symbol.dispose]: restore };
}
