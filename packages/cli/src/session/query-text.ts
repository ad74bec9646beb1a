/** A query string with repeated members: the client's own form has each member once. */
export function queryText(members: Readonly<Record<string, string | readonly string[] | undefined>>): string {
  const pairs = Object.entries(members).flatMap(([key, value]) =>
    (typeof value === "string" ? [value] : (value ?? [])).map((one) => `${key}=${encodeURIComponent(one)}`),
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}
