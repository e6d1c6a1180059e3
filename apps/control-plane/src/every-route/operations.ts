import { createApi } from '../api.js';
import type { Services } from '../context.js';
import { openApiDocument } from '../reference/document.js';

/** JSON Schema, as far as the document uses it. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly example?: unknown;
  readonly default?: unknown;
}

/** A parameter in path or query. */
export interface Parameter {
  readonly in: string;
  readonly name: string;
  readonly required?: boolean;
  readonly schema?: Schema;
}

/** One route as the document describes it. */
export interface Operation {
  /** `POST /v1/sandboxes/{id}/exec` */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly Parameter[];
  /** Schema of the JSON body, references resolved at their first level; undefined: it takes none. */
  readonly body: Schema | undefined;
  /** Whether it takes bodies that are not JSON. */
  readonly takesBytes: boolean;
  readonly isPublic: boolean;
  readonly statuses: ReadonlySet<number>;
}

/** Every route of the OpenAPI document. */
export interface Operations {
  readonly all: readonly Operation[];
  /** What a reference leads to, and everything else as it is. */
  resolve(schema: Schema): Schema;
}

interface RawOperation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: Schema }>> };
  readonly security?: readonly object[];
  readonly responses: Readonly<Record<string, unknown>>;
}

/** Reads the document as a client gets it. */
export function operationsOf(services: Services): Operations {
  const document = JSON.parse(JSON.stringify(openApiDocument(createApi(services), '0'))) as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, RawOperation>>>>;
    readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  };
  const resolve = (schema: Schema): Schema => {
    const name = schema.$ref?.split('/').at(-1);
    return name === undefined ? schema : resolve(document.components.schemas[name]!);
  };
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([verb, operation]): Operation => {
      const method = verb.toUpperCase();
      const content = operation.requestBody?.content ?? {};
      const body = content['application/json']?.schema;
      return {
        name: `${method} ${path}`,
        method,
        path,
        parameters: operation.parameters ?? [],
        body: body === undefined ? undefined : resolve(body),
        takesBytes: Object.keys(content).some((type) => type !== 'application/json'),
        isPublic: operation.security?.length === 0,
        statuses: new Set(Object.keys(operation.responses).map(Number)),
      };
    }),
  );
  return { all, resolve };
}

/** A value as the examples of a schema show it: what is required, and nothing else. */
export function exampleOf(schema: Schema, resolve: Operations['resolve']): unknown {
  const resolved = resolve(schema);
  if (resolved.example !== undefined) return resolved.example;
  if (resolved.default !== undefined) return resolved.default;
  if (resolved.enum !== undefined) return resolved.enum[0];
  if (resolved.type === 'object') {
    const required = resolved.required ?? [];
    return Object.fromEntries(
      required.map((name) => [name, exampleOf(resolved.properties![name]!, resolve)]),
    );
  }
  throw new Error(`no example: ${JSON.stringify(resolved)}`);
}
