/**
 * The same object with its keys sorted by bytes: Go writes maps in this order, and clients print what they get. Keys that are whole numbers come first, the
 * smallest first, because JavaScript allows no other order for them.
 */
export function sortedKeys<T>(object: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}
