/** One Go template over one value, as in `docker info --format`. */
import { parseTemplate } from "@fathom/template";

/** "json" is the whole value. Returns the text as docker prints it: a template's output has no line break of its own. */
export function executeTemplate(format: string, value: unknown): string {
  if (format === "json") return `${JSON.stringify(value)}\n`;
  return parseTemplate(format.replaceAll("\\t", "\t").replaceAll("\\n", "\n")).execute(value);
}
