/** `--filter key=value` flags to the API's filters parameter. */
import { EngineError } from "@fathom/base";

export function filtersQuery(given: readonly string[]): string | undefined {
  if (given.length === 0) return undefined;
  const filters: Record<string, Record<string, boolean>> = {};
  for (const text of given) {
    const equals = text.indexOf("=");
    if (equals < 0)
      throw new EngineError(
        "invalid-argument",
        `invalid argument ${JSON.stringify(text)} for "-f, --filter" flag: invalid filter '${text}'`,
      );
    const key = text.slice(0, equals).trim().toLowerCase();
    (filters[key] ??= {})[text.slice(equals + 1).trim()] = true;
  }
  return JSON.stringify(filters);
}
