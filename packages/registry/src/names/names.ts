/** Names in requests: repositories and tags (distribution-spec, "Pull"). A digest: `isDigest` of @fathom/spec. */

/** The limit of Docker's references. It also keeps every path of the file store below the limits of Linux. */
export const maxNameLength = 255;

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tag = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const upload = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function isRepository(name: string): boolean {
  return name.length <= maxNameLength && name.split("/").every((part) => component.test(part));
}

export function isTag(text: string): boolean {
  return tag.test(text);
}

export function isUploadId(text: string): boolean {
  return upload.test(text);
}

/** "team/*" matches each name that begins with "team/". A star stands for any characters. */
export function matchesPattern(pattern: string, text: string): boolean {
  const [first = "", ...others] = pattern.split("*");
  if (others.length === 0) return text === pattern;
  const last = others.pop()!;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
