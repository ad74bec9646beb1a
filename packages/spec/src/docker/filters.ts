/** The `filters` query: it selects some of many objects. */

/** Values by key. The endpoint defines the keys. Only own properties count, because a client chooses the keys. */
export type Filters = Readonly<Record<string, readonly string[]>>;

/**
 * Parses both JSON forms: {"label": ["a", "b"]} and the older {"label": {"a": true}}. In the older form only the key counts, as in Docker; true
 * and false mean the same. Returns undefined when `text` is neither form.
 */
export function parseFilters(text: string): Filters | undefined {
  if (text === "") return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (parsed === null) return {};
  if (typeof parsed !== "object" || Array.isArray(parsed)) return undefined;
  const filters: Record<string, readonly string[]> = Object.create(null);
  for (const [key, value] of Object.entries(parsed)) {
    const values = valuesOf(value);
    if (values === undefined) return undefined;
    filters[key] = values;
  }
  return filters;
}

function valuesOf(value: unknown): string[] | undefined {
  if (value === null) return [];
  if (Array.isArray(value)) return value.every((item) => typeof item === "string") ? [...new Set(value)] : undefined;
  if (typeof value !== "object") return undefined;
  const values: string[] = [];
  for (const [item, on] of Object.entries(value)) {
    if (typeof on !== "boolean") return undefined;
    values.push(item);
  }
  return values;
}
