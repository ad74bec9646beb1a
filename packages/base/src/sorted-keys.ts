/**
 * The same object with its keys sorted by bytes: Go writes maps in this order, and clients print what they get. Keys that are whole numbers come first, the
 * smallest first, because JavaScript allows no other order for them.
 */
export function sortedKeys<T>(object: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(sortedEntries(Object.entries(object)));
}

/** Half of a character outside the basic plane. Without one, the order of JavaScript's strings is that of their bytes. */
const surrogate = /[\ud800-\udfff]/;

/** Sorts the entries themselves. A client may send hundreds of thousands. */
function sortedEntries<T>(entries: [string, T][]): [string, T][] {
  if (entries.some(([key]) => surrogate.test(key)))
    return entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
