import type { Sandbox, Snapshot } from '@dormouse/contracts';
import type { TestControlPlane } from './control-plane.js';

/** An answer of the API, read. */
export interface Answer<Body> {
  readonly status: number;
  readonly body: Body;
}

/** What an error says. */
export interface ErrorAnswer {
  readonly error: { readonly code: string; readonly message: string };
}

/** Requests as tests write them. */
export class ApiClient {
  readonly #plane: TestControlPlane;
  readonly #key: string;

  /** @param key default: the first team's */
  constructor(plane: TestControlPlane, key: string = plane.team.key) {
    this.#plane = plane;
    this.#key = key;
  }

  /** @param json no body when left out */
  async ask<Body>(method: string, path: string, json?: unknown): Promise<Answer<Body>> {
    const response = await this.#plane.request(path, {
      method,
      headers: {
        'x-api-key': this.#key,
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as Body };
  }

  post<Body = Sandbox>(path: string, json?: unknown): Promise<Answer<Body>> {
    return this.ask<Body>('POST', path, json);
  }

  /** A request that must be refused. */
  async refusal(
    method: string,
    path: string,
    json?: unknown,
  ): Promise<{ status: number; code: string; message: string }> {
    const { status, body } = await this.ask<ErrorAnswer>(method, path, json);
    return { status, code: body.error.code, message: body.error.message };
  }

  async sandbox(id: string): Promise<Sandbox> {
    return (await this.ask<Sandbox>('GET', `/v1/sandboxes/${id}`)).body;
  }

  async create(json: unknown = {}): Promise<Sandbox> {
    return (await this.post<Sandbox>('/v1/sandboxes', json)).body;
  }

  async snapshot(json: unknown, query = ''): Promise<Snapshot> {
    return (await this.post<Snapshot>(`/v1/snapshots${query}`, json)).body;
  }
}
