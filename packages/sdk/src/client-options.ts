import { DormouseError } from '@dormouse/errors';

/** Where a server listens when nothing says otherwise. */
export const DEFAULT_API_URL = 'http://127.0.0.1:4050';

/** Creating a sandbox boots a machine, in software where there is no virtualisation. */
export const CREATE_TIMEOUT_MS = 300_000;

/** A fork restores its children a few at a time. */
export const FORK_TIMEOUT_MS = 600_000;

const DEFAULT_TIMEOUT_MS = 60_000;

/** The part of the Fetch standard that is used; `globalThis.fetch` fits. */
export type Fetch = (url: string, init: RequestInit & { duplex?: 'half' }) => Promise<Response>;

/** How to reach a server. */
export interface ClientOptions {
  /** Default: `DORMOUSE_API_URL`, else `http://127.0.0.1:4050`. */
  readonly apiUrl?: string | undefined;
  /** Default: `DORMOUSE_API_KEY`. */
  readonly apiKey?: string | undefined;
  /** The token of a login, instead of an API key. */
  readonly token?: string | undefined;
  /** Default: undici's, without its limit of five minutes on slow answers. */
  readonly fetch?: Fetch | undefined;
  /** Milliseconds an ordinary request may take; 0: no limit. Default 60,000. */
  readonly timeoutMs?: number | undefined;
}

/** {@link ClientOptions} with the defaults filled in. */
export interface ResolvedOptions {
  /** Without a trailing slash. */
  readonly apiUrl: string;
  /** What says who asks. */
  readonly credentials: Readonly<Record<string, string>>;
  readonly fetch: Fetch | undefined;
  readonly timeoutMs: number;
}

/** What every call takes. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds this call may take; 0: no limit. */
  readonly timeoutMs?: number | undefined;
}

/**
 * @throws DormouseError `invalid_request` when the URL is none, `unauthorized` when there is neither token nor key
 */
export function resolveOptions(
  options: ClientOptions,
  env: Readonly<Record<string, string | undefined>>,
): ResolvedOptions {
  const credentials = credentialsOf(options.token, options.apiKey ?? env.DORMOUSE_API_KEY);
  if (credentials === undefined) {
    throw new DormouseError('unauthorized', 'no API key', {
      suggestion: 'Pass apiKey or token, or set DORMOUSE_API_KEY; `dormouse up` prints a key.',
    });
  }
  return { ...resolveAnonymous(options, env), credentials };
}

/**
 * Options for requests of which nobody has to know who asks: signing up and logging in.
 *
 * @throws DormouseError `invalid_request` when the URL is none
 */
export function resolveAnonymous(
  options: ClientOptions,
  env: Readonly<Record<string, string | undefined>>,
): ResolvedOptions {
  const apiUrl = options.apiUrl ?? env.DORMOUSE_API_URL ?? DEFAULT_API_URL;
  if (!URL.canParse(apiUrl) || !/^https?:$/.test(new URL(apiUrl).protocol)) {
    throw new DormouseError('invalid_request', `not an http or https URL: ${apiUrl}`);
  }
  return {
    apiUrl: apiUrl.replace(/\/+$/, ''),
    credentials: {},
    fetch: options.fetch,
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  };
}

function credentialsOf(
  token: string | undefined,
  apiKey: string | undefined,
): Readonly<Record<string, string>> | undefined {
  if (token !== undefined && token !== '') return { authorization: `Bearer ${token}` };
  if (apiKey !== undefined && apiKey !== '') return { 'x-api-key': apiKey };
  return undefined;
}
