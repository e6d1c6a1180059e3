/** The value of a JSON text, or undefined when it is none; a schema decides about both. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
