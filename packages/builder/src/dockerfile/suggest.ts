/** The word that the author probably meant. */

/** How many letters to change, add or leave out. */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++)
      row.push(Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    above = row;
  }
  return above[b.length]!;
}

/** " (did you mean COPY?)", or "" when no known word is similar. */
export function suggestion(typed: string, known: readonly string[]): string {
  if (typed.length > 40) return "";
  const limit = typed.length <= 4 ? 1 : 2;
  const [best] = known
    .map((word) => ({ word, far: distance(typed.toLowerCase(), word.toLowerCase()) }))
    .filter(({ far }) => far <= limit)
    .toSorted((a, b) => a.far - b.far || (a.word < b.word ? -1 : 1));
  return best === undefined ? "" : ` (did you mean ${best.word}?)`;
}
