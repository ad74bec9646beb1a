/** Ids as Docker makes them: 64 lower-case hex digits. Users see the first 12. */

declare const brand: unique symbol;
export type Branded<T, B extends string> = T & { readonly [brand]: B };

/** Id of a container, network, exec or anonymous volume: 32 random bytes in hex. */
export type Id = Branded<string, "Id">;

const fullId = /^[0-9a-f]{64}$/;

/** A new random id. An id whose first 12 digits are all decimal is not used, because a client could read it as a number. */
export function randomId(): Id {
  for (;;) {
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    const text = Buffer.from(bytes).toString("hex");
    if (/[a-f]/.test(text.slice(0, 12))) return text as Id;
  }
}

/** Returns `text` if it is an id, else undefined. */
export function parseId(text: string): Id | undefined {
  return fullId.test(text) ? (text as Id) : undefined;
}

/** The 12 digits that users see. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}
