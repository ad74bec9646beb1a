/** Words and tables as docker prints them: sizes, ages, columns. */

/** go-units HumanSize: powers of 1000, four significant digits. */
export function humanSize(bytes: number, digits = 4): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${significant(value, digits)}${units[unit]}`;
}

/** go-units BytesSize: powers of 1024. */
export function bytesSize(bytes: number, digits = 4): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${significant(value, digits)}${units[unit]}`;
}

/** %.Ng of Go: N significant digits, no trailing zeros. */
function significant(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

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
