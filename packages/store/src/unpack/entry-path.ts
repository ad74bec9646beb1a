/** Paths of a hostile archive. */
import { nameText } from "@fathom/archive";
import { EngineError } from "@fathom/base";

const maxDepth = 1000;
const maxNameBytes = 255;

/** The entry, and the rule that it breaks. */
export function refusal(path: string, rule: string): EngineError {
  return new EngineError("invalid-argument", `refused to unpack ${shown(path)}: ${rule}`);
}

/** A path or name of an archive, for messages. */
export function shown(path: string): string {
  const text = nameText(path);
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

/**
 * Components of the path of the entry `of`; a leading "/" and "." are ignored.
 * @throws invalid-argument for "..", and for a path that is too long or too deep
 */
export function pathParts(of: string, path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") throw refusal(of, 'its path has ".." in it');
    if (part.length > maxNameBytes) throw refusal(of, `a part of its path is longer than ${maxNameBytes} bytes`);
    parts.push(part);
  }
  if (parts.length > maxDepth) throw refusal(of, `it is nested deeper than ${maxDepth}`);
  return parts;
}
