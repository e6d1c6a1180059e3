import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { Agent, fetch as undiciFetch } from 'undici';
import { errorFromAnswer } from './api-error.js';
import type { CallOptions, Fetch, ResolvedOptions } from './client-options.js';
import { type Deadline, startDeadline } from './deadline.js';
import { parseJson } from './parse-json.js';
import { type Failure, mayHaveActed, retryDelayMs } from './retry.js';

/** Values of a query string; undefined ones are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** A request in the terms of the API. */
export interface ApiRequest extends CallOptions {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Begins with `/`. */
  readonly path: string;
  readonly query?: Query | undefined;
  readonly json?: unknown;
  readonly body?: Uint8Array | ReadableStream<Uint8Array> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Asking twice is the same as asking once, though it is a POST. */
  readonly idempotent?: boolean | undefined;
  /** Asking twice is not the same as asking once, though it is a DELETE. */
  readonly once?: boolean | undefined;
}

/** A schema of the contract, as far as it is used here. */
export interface AnswerSchema<T> {
  safeParse(
    value: unknown,
  ): { readonly success: true; readonly data: T } | { readonly success: false; readonly error: Error };
}

/** Errors of a connection that was never made. */
const REFUSED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT', 'ENETUNREACH']);

/** The server's word that nothing of a request was begun. */
const NOT_BEGUN_HEADER = 'dormouse-not-begun';

/** Sends requests: authentication, time limits, retries, errors. Knows no endpoint. */
export class Transport {
  readonly options: ResolvedOptions;
  readonly #fetch: Fetch;

  constructor(options: ResolvedOptions) {
    this.options = options;
    this.#fetch = options.fetch ?? patientFetch();
  }

  /** An answer without content. */
  async send(request: ApiRequest): Promise<void> {
    await using answer = await this.#open(request);
    await answer.response.body?.cancel();
  }

  /** An answer in JSON, checked against its schema. */
  async json<T>(request: ApiRequest, schema: AnswerSchema<T>): Promise<T> {
    await using answer = await this.#open(request);
    const text = await this.#read(request, answer.deadline, () => answer.response.text());
    const parsed = schema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new DormouseError(
      'internal',
      `${name(request)}: the server's answer is not what the API promises`,
      {
        cause: parsed.error,
        suggestion: `Is ${this.options.apiUrl} a Dormouse server of this version?`,
      },
    );
  }

  /** The whole answer as bytes. */
  async bytes(request: ApiRequest): Promise<Uint8Array> {
    await using answer = await this.#open(request);
    const buffer = await this.#read(request, answer.deadline, () => answer.response.arrayBuffer());
    return new Uint8Array(buffer);
  }

  /** The answer as it comes. The time limit holds until its beginning; `signal` holds to the end. */
  async stream(request: ApiRequest): Promise<ReadableStream<Uint8Array>> {
    const { response, deadline } = await this.#open(request);
    deadline.lift();
    const reader = response.body?.getReader();
    const finish = (): void => deadline[Symbol.dispose]();
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const piece = await reader?.read();
            if (piece === undefined || piece.done) {
              finish();
              controller.close();
            } else {
              controller.enqueue(piece.value);
            }
          } catch (thrown) {
            finish();
            controller.error(this.#brokenError(request, deadline, thrown));
          }
        },
        cancel: async (reason) => {
          finish();
          await reader?.cancel(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Sends until an answer comes or retrying makes no sense, and throws every answer that is an error. */
  async #open(request: ApiRequest): Promise<Answer> {
    const timeoutMs = request.timeoutMs ?? this.options.timeoutMs;
    const deadline = startDeadline(timeoutMs, request.signal, name(request));
    try {
      let acted = false;
      for (let retries = 0; ; retries++) {
        const { response, error, failure } = await this.#attempt(request, deadline);
        if (response) return new Answer(response, deadline);
        // What an earlier attempt has deleted, though its answer was lost, is gone as it was to be.
        const isGone = request.method === 'DELETE' && error.code === 'not_found';
        if (isGone && acted) return new Answer(new Response(null, { status: 204 }), deadline);
        acted ||= mayHaveActed(failure);
        const attempt = {
          method: request.method,
          idempotent: request.idempotent ?? false,
          once: request.once ?? false,
          retries,
          replayable: !isStream(request.body),
        };
        const delayMs = deadline.error() ? undefined : retryDelayMs(attempt, failure, Math.random());
        if (delayMs === undefined) throw error;
        await delay(delayMs, undefined, { signal: deadline.signal }).catch(() => {
          throw deadline.error() ?? error;
        });
      }
    } catch (thrown) {
      deadline[Symbol.dispose]();
      throw thrown;
    }
  }

  async #attempt(request: ApiRequest, deadline: Deadline): Promise<AttemptResult> {
    const { apiUrl, credentials } = this.options;
    const headers: Record<string, string> = { ...credentials, ...request.headers };
    if (request.json !== undefined) headers['content-type'] = 'application/json';
    let response: Response;
    try {
      response = await this.#fetch(`${apiUrl}${request.path}${queryString(request.query)}`, {
        method: request.method,
        headers,
        signal: deadline.signal,
        ...(request.json === undefined ? {} : { body: JSON.stringify(request.json) }),
        ...(request.body === undefined
          ? {}
          : { body: uploadOf(request.body, deadline.signal), duplex: 'half' as const }),
      });
    } catch (thrown) {
      const refused = REFUSED.has(causeCode(thrown) ?? '');
      return {
        error: this.#brokenError(request, deadline, thrown),
        failure: { kind: refused ? 'refused' : 'broken' },
      };
    }
    if (response.ok) return { response };
    const text = await response.text().catch(() => '');
    const retryAfter = response.headers.get('retry-after');
    const notBegun = response.headers.get(NOT_BEGUN_HEADER) === 'true';
    return {
      error: errorFromAnswer(response.status, text),
      failure: { kind: 'answer', status: response.status, retryAfter, notBegun },
    };
  }

  async #read<T>(request: ApiRequest, deadline: Deadline, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (thrown) {
      throw this.#brokenError(request, deadline, thrown);
    }
  }

  #brokenError(request: ApiRequest, deadline: Deadline, cause: unknown): DormouseError {
    const given = deadline.error();
    if (given) return given;
    if (cause instanceof DormouseError) return cause;
    const { apiUrl } = this.options;
    const code = causeCode(cause);
    if (code !== undefined && REFUSED.has(code)) {
      return new DormouseError('unavailable', `cannot reach ${apiUrl} (${code})`, {
        cause,
        suggestion: 'Is `dormouse up` running there?',
      });
    }
    const detail = code ?? (cause instanceof Error ? cause.message : String(cause));
    return new DormouseError(
      'unavailable',
      `${name(request)}: the connection to ${apiUrl} broke (${detail})`,
      {
        cause,
      },
    );
  }
}

/** A successful answer together with what limits it. */
class Answer implements AsyncDisposable {
  constructor(
    readonly response: Response,
    readonly deadline: Deadline,
  ) {}

  async [Symbol.asyncDispose](): Promise<void> {
    this.deadline[Symbol.dispose]();
    if (!this.response.bodyUsed) await this.response.body?.cancel();
  }
}

type AttemptResult =
  | { readonly response: Response; readonly error?: undefined; readonly failure?: undefined }
  | { readonly response?: undefined; readonly error: DormouseError; readonly failure: Failure };

/** undici gives up on answers that take five minutes; a command may take a day, and we keep time ourselves. */
function patientFetch(): Fetch {
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  // The types of undici and of Node.js name the same classes twice.
  const fetch = undiciFetch as unknown as (url: string, init: object) => Promise<Response>;
  return (url, init) => fetch(url, { ...init, dispatcher });
}

/** `METHOD /path`, for messages. */
function name(request: ApiRequest): string {
  return `${request.method} ${request.path}`;
}

/** `?a=b`, or nothing. */
export function queryString(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.append(key, String(value));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

/** fetch reads a stream to its end even when it is cancelled; ours ends with the request, and so does its source. */
function uploadOf(
  body: NonNullable<ApiRequest['body']>,
  signal: AbortSignal,
): NonNullable<RequestInit['body']> {
  const sent = isStream(body) ? body.pipeThrough(new TransformStream(), { signal }) : body;
  return sent as NonNullable<RequestInit['body']>;
}

function isStream(body: ApiRequest['body']): body is ReadableStream<Uint8Array> {
  return body !== undefined && !(body instanceof Uint8Array);
}

/** fetch hides the system's error in `cause`, and Node.js hides those of several addresses in an AggregateError. */
function causeCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) return undefined;
  return systemErrorCode(thrown.cause) ?? systemErrorCode(thrown);
}
