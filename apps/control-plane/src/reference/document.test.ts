import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApi } from '../api.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { type OpenApiDocument, openApiDocument } from './document.js';

/** For those who operate it: they take no input that could be wrong. */
const OPERATION = '/healthz /readyz /metrics'.split(' ');
/** Answers 101: the connection becomes a WebSocket. */
const UPGRADE = '/v1/sandboxes/{id}/exec/stream';

type Schema = Readonly<Record<string, unknown>>;

let plane: TestControlPlane;
let document: OpenApiDocument;

beforeAll(async () => {
  plane = await startTestControlPlane();
  document = JSON.parse(JSON.stringify(openApiDocument(createApi(plane.services), '0'))) as OpenApiDocument;
}, 60_000);
afterAll(() => plane.close(), 60_000);

test('the OpenAPI document has no fault that Redocly knows of, and describes each of its parts', async () => {
  const config = await createConfig({
    extends: ['recommended-strict'],
    rules: {
      'operation-description': 'error',
      'operation-singular-tag': 'error',
      'parameter-description': 'error',
      'tag-description': 'error',
      'no-invalid-schema-examples': 'error',
      'no-invalid-media-type-examples': 'error',
    },
  });
  const problems = await lintFromString({ source: JSON.stringify(document), config });
  const found = problems.map(({ ruleId, message, location: [place] }) => ({
    ruleId,
    message,
    at: decodeURIComponent(place?.pointer ?? '').replaceAll('~1', '/'),
  }));
  const meant = found.filter(
    ({ ruleId, at }) =>
      (ruleId === 'operation-4xx-response' && OPERATION.some((path) => at.startsWith(`#/paths/${path}/`))) ||
      (ruleId === 'operation-2xx-response' && at.startsWith(`#/paths/${UPGRADE}/`)),
  );
  expect(found.filter((problem) => !meant.includes(problem))).toEqual([]);
  expect(meant).toHaveLength(OPERATION.length + 1);
});

test('every property of every schema in the OpenAPI document says what it is, by an example too', () => {
  const schemas = Object.entries(document.components?.schemas ?? {}) as [string, Schema][];
  expect(schemas.length).toBeGreaterThan(50);
  const properties = schemas.flatMap(([name, schema]) => propertiesOf(schema, name));
  const saying = (speaks: (schema: Schema) => boolean) =>
    properties.flatMap(([path, schema]) => (speaks(schema) ? [] : [path]));
  expect(saying(isDescribed), 'without a description').toEqual([]);
  expect(saying(isShown), 'without an example').toEqual([]);
});

/** All properties, those of inner schemas too. What a reference leads to has a name, and is looked at there. */
function propertiesOf(schema: Schema, path: string): [string, Schema][] {
  const inner = ['items', 'additionalProperties', 'anyOf', 'oneOf', 'allOf'].flatMap((key) => {
    const parts = [schema[key]].flat();
    return parts.flatMap((part) => (isSchema(part) ? propertiesOf(part, path) : []));
  });
  const own = Object.entries((schema.properties ?? {}) as Readonly<Record<string, Schema>>);
  return [
    ...inner,
    ...own.flatMap(([name, property]): [string, Schema][] => [
      [`${path}.${name}`, property],
      ...propertiesOf(property, `${path}.${name}`),
    ]),
  ];
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null;
}

/** References have their own description; of one that can be one thing only there is nothing to say. */
function isDescribed({ description, $ref, enum: these }: Schema): boolean {
  return (description ?? $ref) !== undefined || (Array.isArray(these) && these.length === 1);
}

/** Texts and numbers need an example, unless it is clear without what they look like. */
function isShown({ type, example, examples, default: otherwise, enum: these, const: only, format }: Schema) {
  const plain = ['string', 'integer', 'number'].some((scalar) => [type].flat()[0] === scalar);
  return !plain || [example, examples, otherwise, these, only, format].some((one) => one !== undefined);
}
