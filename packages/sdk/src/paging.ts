/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** null on the last page */
  readonly nextCursor: string | null;
}

/** Every item of a list, asking for the next page only when it is needed. */
export async function* eachItem<Item>(
  fetchPage: (cursor: string | undefined) => Promise<Page<Item>>,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await fetchPage(cursor);
    yield* page.items;
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
}
