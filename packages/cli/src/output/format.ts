/** Tables and words as docker prints them. */

/** Columns as Go's tabwriter with a minimum cell of 10 and padding 3. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(10, ...rows.map((row) => [...(row[i] ?? "")].length + 3)),
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

/** Cuts the text to `length` characters; the last one is then an ellipsis. */
export function ellipsis(text: string, length: number): string {
  const chars = [...text];
  return chars.length <= length ? text : `${chars.slice(0, length - 1).join("")}…`;
}
