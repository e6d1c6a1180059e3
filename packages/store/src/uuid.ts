const UUID_PATTERN = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether a text can be the id of a row: PostgreSQL refuses to compare ids with anything else. */
export function isUuid(text: string): boolean {
  return UUID_PATTERN.test(text);
}
