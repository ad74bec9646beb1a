/** The word that a user probably meant. */

/** How many letters to change, add, leave out, or swap with the next one. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const above = rows[i - 1]!;
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** @param known What each key is compared by. @returns the nearest key; undefined when none is similar */
export function nearest(typed: string, known: ReadonlyMap<string, string>): string | undefined {
  // A word of four letters with two mistakes is a different word.
  const limit = typed.length <= 4 ? 1 : 2;
  const [best] = [...known]
    .map(([name, word]) => ({ name, far: distance(typed, word) }))
    .filter(({ far }) => far <= limit)
    .toSorted((a, b) => a.far - b.far || (a.name < b.name ? -1 : 1));
  return best?.name;
}
