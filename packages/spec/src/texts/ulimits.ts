/** Limits of processes (setrlimit(2)) as users write them: "nofile=100:200", as go-units reads them. */
import type { Ulimit } from "../docker/host-config.ts";

/** The limits that go-units knows. The API also accepts "as". */
export const ulimitTypes: readonly string[] =
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" ");

/** The limit, or a message in go-units' words about what is wrong with the text. */
export function parseUlimit(text: string): { readonly limit: Ulimit } | { readonly wrong: string } {
  const equals = text.indexOf("=");
  if (equals < 0) return { wrong: `invalid ulimit argument: ${text}` };
  const name = text.slice(0, equals);
  if (!ulimitTypes.includes(name)) return { wrong: `invalid ulimit type: ${name}` };
  const values = text.slice(equals + 1);
  const parts = values.split(":");
  if (parts.length > 2)
    return { wrong: `too many limit value arguments - ${values}, can only have up to two, \`soft[:hard]\`` };
  for (const part of parts)
    if (!/^-?\d+$/.test(part)) return { wrong: `strconv.ParseInt: parsing ${JSON.stringify(part)}: invalid syntax` };
  const limit = { Name: name, Soft: Number(parts[0]), Hard: Number(parts[1] ?? parts[0]) };
  const wrong = wrongUlimit(limit);
  return wrong === undefined ? { limit } : { wrong };
}

/** In go-units' words; undefined for a valid limit. */
export function wrongUlimit({ Name: name, Soft: soft, Hard: hard }: Ulimit): string | undefined {
  if (!ulimitTypes.includes(name)) return `invalid ulimit type: ${name}`;
  if (hard === -1 || (soft !== -1 && soft <= hard)) return undefined;
  const limits = soft === -1 ? `soft: -1 (unlimited), hard: ${hard}` : `${soft} > ${hard}`;
  return `ulimit soft limit must be less than or equal to hard limit: ${limits}`;
}
