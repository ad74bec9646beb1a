/** The output of all `inspect` commands: a JSON array, or a template for each object. What was not found follows on stderr. */
import { messageOf } from "@fathom/base";
import { parseTemplate, TemplateError, type Template } from "@fathom/template";
import type { CommandContext } from "../grammar/command.ts";

/**
 * @param find Gives one object. `ordered`: for a template, whose parts have their fields in the order of definition.
 * @returns the exit code
 */
export async function printInspected(
  { flags, stdout, stderr }: CommandContext,
  names: readonly string[],
  find: (name: string, ordered: boolean) => Promise<unknown>,
): Promise<number> {
  const format = flags.string("format").replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  let template: Template | undefined;
  if (format !== "" && format !== "json") {
    try {
      template = parseTemplate(format);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      stderr.write(`template parsing error: ${error.message}\n`);
      return 64;
    }
  }
  const found: unknown[] = [];
  const errors: string[] = [];
  for (const name of names) {
    try {
      found.push(await find(name, template !== undefined));
    } catch (error) {
      errors.push(messageOf(error));
      if (template !== undefined || format === "json") break;
    }
  }
  try {
    if (format === "json") stdout.write(`${JSON.stringify(found)}\n`);
    else if (template !== undefined) for (const value of found) stdout.write(`${template.execute(value)}\n`);
    else stdout.write(`${found.length === 0 ? "[]" : JSON.stringify(found, null, 4)}\n`);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    stderr.write(`template parsing error: ${error.message}\n`);
    return 1;
  }
  for (const text of errors) stderr.write(`${text}\n`);
  return errors.length > 0 ? 1 : 0;
}
