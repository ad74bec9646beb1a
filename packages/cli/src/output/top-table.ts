/** Columns as Go's tabwriter makes them, at least 20 wide with one space of padding: the output of `docker top`. */
export function topTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(20, ...rows.map((row) => (row[i] ?? "").length + 3)),
  );
  return rows
    .map((row) => `${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join("")}\n`)
    .join("");
}
