/** The wire says `created_at`, TypeScript says `createdAt`; these translate one level of keys and their types. */
export type CamelCase<Key extends string> = Key extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Key;

/** `T` with the keys of its first level in camel case. Values stay as they are: metadata keys are the user's. */
export type CamelKeys<T> = { [Key in keyof T as Key extends string ? CamelCase<Key> : Key]: T[Key] };

/** The keys of the first level in camel case. */
export function toCamelKeys<T extends object>(value: T): CamelKeys<T> {
  const entries = Object.entries(value).map(([key, item]) => [camelCase(key), item]);
  return Object.fromEntries(entries) as CamelKeys<T>;
}

/** The keys of the first level in snake case, without those that are undefined. */
export function toSnakeKeys(value: object): Record<string, unknown> {
  const given = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(given.map(([key, item]) => [snakeCase(key), item]));
}

function camelCase(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
