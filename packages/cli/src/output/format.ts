/** Tables and words as docker prints them. */

/** Columns as Go's tabwriter with a minimum cell of 10 and padding 3. */
export function table(rows: readonly (readonly string[])[], least = 10, gap = 3): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(least, ...rows.map((row) => [...(row[i] ?? "")].length + gap)),
  );
  return rows
    .map(
      (row) =>
        row
          .map((cell, i) => (i === row.length - 1 ? cell : cell + " ".repeat(widths[i]! - [...cell].length)))
          .join("") + "\n",
    )
    .join("");
}

/** In a narrow terminal, columns are closer to each other, and none is cut to less than this. */
const narrow = { gap: 2, least: 8 };

/**
 * A table whose lines fit into the terminal: the widest cells are cut. When the columns that stay whole are too wide for that, nothing is cut: it would
 * only lose text.
 * @param whole Columns that users copy from: names and ids.
 */
export function fittedTable(rows: readonly (readonly string[])[], width: number, whole: ReadonlySet<number>): string {
  const asDocker = table(rows);
  const longest = Math.max(...asDocker.split("\n").map((line) => [...line].length));
  if (longest <= width) return asDocker;
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) => Math.max(...rows.map((row) => [...(row[i] ?? "")].length)));
  const heading = (i: number): number => [...(rows[0]?.[i] ?? "")].length;
  const least = widths.map((size, i) => (whole.has(i) ? size : Math.min(size, Math.max(narrow.least, heading(i)))));
  const line = (sizes: readonly number[]): number =>
    sizes.reduce((sum, size) => sum + size, narrow.gap * (sizes.length - 1));
  if (line(least) > width) return asDocker;
  while (line(widths) > width) {
    const spare = widths.map((size, i) => (size > least[i]! ? size : 0));
    widths[spare.indexOf(Math.max(...spare))]! -= 1;
  }
  return table(
    rows.map((row) => row.map((cell, i) => ellipsis(cell, widths[i]!))),
    0,
    narrow.gap,
  );
}

/** Cuts the text to `length` characters; the last one is then an ellipsis. */
export function ellipsis(text: string, length: number): string {
  const chars = [...text];
  return chars.length <= length ? text : `${chars.slice(0, length - 1).join("")}…`;
}
