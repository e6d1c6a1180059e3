import {
  BuildLogEntry,
  type CreateTemplateBuildRequest,
  TemplateBuildList,
  TemplateBuild as WireTemplateBuild,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { type CamelKeys, toCamelKeys, toSnakeKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import { parseJson } from './parse-json.js';
import type { Transport } from './transport.js';

/** A build of a template. */
export type TemplateBuildInfo = CamelKeys<WireTemplateBuild>;

/** What a template is to be: what it begins with, steps, what runs in it. */
export type TemplateRecipe = CamelKeys<CreateTemplateBuildRequest>;

/** Something that a build has said. */
export type TemplateBuildLog = BuildLogEntry;

/** How to follow a build. */
export interface BuildOptions extends CallOptions {
  /** Told what the build says, as it says it. */
  readonly onLog?: ((entry: TemplateBuildLog) => void) | undefined;
}

/** Building templates over the API. */
export class TemplateBuilds {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Puts a build in the queue; it goes on by itself. */
  async create(recipe: TemplateRecipe, options: CallOptions = {}): Promise<TemplateBuildInfo> {
    const request = { ...options, method: 'POST', path: '/v1/templates', json: toSnakeKeys(recipe) } as const;
    return toCamelKeys(await this.#transport.json(request, WireTemplateBuild));
  }

  async get(id: string, options: CallOptions = {}): Promise<TemplateBuildInfo> {
    const request = { ...options, method: 'GET', path: buildPath(id) } as const;
    return toCamelKeys(await this.#transport.json(request, WireTemplateBuild));
  }

  /** Newest first. */
  list(options: CallOptions = {}): AsyncGenerator<TemplateBuildInfo, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: '/v1/templates/builds', query: { cursor } } as const;
      const page = await this.#transport.json(request, TemplateBuildList);
      return { items: page.builds.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  /** Ends a build within seconds, unless it is done; the template stays as it was. */
  async cancel(id: string, options: CallOptions = {}): Promise<TemplateBuildInfo> {
    const request = { ...options, method: 'POST', path: `${buildPath(id)}/cancel` } as const;
    return toCamelKeys(await this.#transport.json(request, WireTemplateBuild));
  }

  /** What a build says, until it is done. */
  async *logs(id: string, options: CallOptions = {}): AsyncGenerator<TemplateBuildLog, void, undefined> {
    const path = `${buildPath(id)}/logs`;
    const request = { ...options, method: 'GET', path, query: { follow: true } } as const;
    const decoder = new TextDecoder();
    let rest = '';
    for await (const piece of await this.#transport.stream(request)) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield BuildLogEntry.parse(parseJson(line));
    }
  }

  /**
   * Builds a template and waits until it is done.
   *
   * @throws DormouseError `invalid_state` when it failed, with the reason, or was cancelled
   */
  async run(recipe: TemplateRecipe, options: BuildOptions = {}): Promise<TemplateBuildInfo> {
    const { onLog, ...call } = options;
    const { id } = await this.create(recipe, call);
    for await (const entry of this.logs(id, call)) onLog?.(entry);
    const done = await this.get(id, call);
    if (done.state === 'ready') return done;
    throw new DormouseError('invalid_state', `${recipe.name} was not built: ${done.error ?? done.state}`);
  }
}

function buildPath(id: string): string {
  return `/v1/templates/builds/${encodeURIComponent(id)}`;
}
