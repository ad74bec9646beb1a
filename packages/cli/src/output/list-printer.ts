/** Prints lists: default tables, `table TEMPLATE`, `json`, templates, quiet. ps, images, volumes, networks and history all use it. */
import type { CommandContext } from "../grammar/command.ts";
import { fittedTable, table } from "./format.ts";
import { parseTemplate } from "@fathom/template";

export interface ListPrinter<T> {
  readonly items: readonly T[];
  /** Fields for templates. A value is a string, or a function for a field with an argument. */
  readonly fields: (item: T) => Readonly<Record<string, unknown>>;
  /** Column headings of the fields. */
  readonly headings: Readonly<Record<string, string>>;
  /** Fields of the default table, in order. */
  readonly columns: readonly string[];
  /** Field that --quiet prints. */
  readonly quietField: string;
}

export interface ListOptions {
  readonly format: string;
  readonly quiet: boolean;
  /** Columns of the terminal, into which the default table is made to fit. */
  readonly width?: number | undefined;
}

/** Without a terminal and with --no-trunc, tables are as wide as what is in them. */
export function terminalWidth({ stdout, flags, command }: CommandContext): number | undefined {
  const noTruncate = command.flags.some(({ name }) => name === "no-trunc") && flags.bool("no-trunc");
  return stdout.isTerminal && !noTruncate ? stdout.columns : undefined;
}

/** Fields whose cells users copy. */
const copied = ["ID", "Name", "Names", "Repository", "Tag", "Digest"];

/** Go templates on the command line write a tab as the two characters \t. */
function unescape(template: string): string {
  return template.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

export function formatList<T>(printer: ListPrinter<T>, options: ListOptions): string {
  const rows = printer.items.map(printer.fields);
  const format = options.format === "" ? "table" : unescape(options.format);
  if (options.quiet && (format === "table" || format === "json" || options.format === "")) {
    return rows.map((row) => `${String(row[printer.quietField])}\n`).join("");
  }
  if (format === "json") {
    return rows
      .map(
        (row) =>
          // Sorted by name, as Go writes a map, so that the order is the same in all versions.
          `${JSON.stringify(
            Object.fromEntries(
              Object.entries(row)
                .filter(([, value]) => typeof value !== "function")
                .toSorted(([a], [b]) => (a < b ? -1 : 1)),
            ),
          )}\n`,
      )
      .join("");
  }
  if (format === "table") {
    const cells = [
      printer.columns.map((name) => printer.headings[name]!),
      ...rows.map((row) => printer.columns.map((name) => String(row[name]))),
    ];
    if (options.width === undefined) return table(cells);
    const whole = new Set(printer.columns.flatMap((name, i) => (copied.includes(name) ? [i] : [])));
    return fittedTable(cells, options.width, whole);
  }
  if (format.startsWith("table")) {
    const template = parseTemplate(format.slice("table".length).trimStart(), { missingIsError: true });
    const headings = { ...printer.headings, Label: (key: string): string => key.replace(/^.*\./, "").toUpperCase() };
    return table([headings, ...rows].map((data) => template.execute(data).split("\t")));
  }
  const template = parseTemplate(format, { missingIsError: true });
  return rows.map((row) => `${template.execute(row)}\n`).join("");
}
