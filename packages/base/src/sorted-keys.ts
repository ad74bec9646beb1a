/**
 * The same object with its keys sorted by bytes: Go writes its maps so, and clients print what they get. Keys that are whole
 * numbers come first, smallest first: JavaScript keeps no other order for them.
 */
export function sortedKeys<T>(object: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}
