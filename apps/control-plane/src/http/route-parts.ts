import { ErrorBody } from '@dormouse/contracts';
import { type ErrorCode, errorRow } from '@dormouse/errors';
import { z } from 'zod';

/** Path parameters of everything about one sandbox. Ids that cannot exist are unknown ids: 404, not 400. */
export const SandboxParams: z.ZodObject<{ id: z.ZodString }> = z.object({
  id: z.string().meta({ description: 'Id of the sandbox', example: 'sb4f9k2m7q1x8c3v6b0n5z' }),
});

/** One answer of a route in the OpenAPI document. */
export interface JsonResponse<Schema extends z.ZodType> {
  readonly description: string;
  readonly content: { readonly 'application/json': { readonly schema: Schema } };
}

/** A JSON answer. */
export function json<Schema extends z.ZodType>(schema: Schema, description: string): JsonResponse<Schema> {
  return { description, content: { 'application/json': { schema } } };
}

/** A JSON request body. */
export function jsonRequest<Schema extends z.ZodType>(
  schema: Schema,
): {
  readonly required: true;
  readonly content: { readonly 'application/json': { readonly schema: Schema } };
} {
  return { required: true, content: { 'application/json': { schema } } };
}

/** What every route may answer. */
const EVERYWHERE = ['invalid_request', 'unauthorized', 'too_many_requests'] as const;

/** The error answers of a route, one for each status its codes have. */
export function errors(...codes: ErrorCode[]): Record<string, JsonResponse<typeof ErrorBody>> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...EVERYWHERE, ...codes])) {
    const { http } = errorRow(code);
    byStatus.set(http, [...(byStatus.get(http) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, named]) => [
      String(status),
      json(ErrorBody, named.map((code) => `\`${code}\``).join(', ')),
    ]),
  );
}
