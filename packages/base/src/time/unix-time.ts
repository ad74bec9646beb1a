/** Unix seconds as clients write them: decimal digits with a fraction. */

/** Nanoseconds since the epoch, or a message about what is wrong with the text, in the words that Docker's clients know. */
export function parseUnixTime(text: string): { readonly ns: bigint } | { readonly problem: string } {
  const point = text.indexOf(".");
  const seconds = point < 0 ? text : text.slice(0, point);
  const fraction = point < 0 ? "" : text.slice(point + 1);
  if (!/^[+-]?\d+$/.test(seconds)) return { problem: `invalid seconds ${JSON.stringify(seconds)}: invalid syntax` };
  if (seconds.length > 18) return { problem: `invalid seconds ${JSON.stringify(seconds)}: value out of range` };
  const odd = [...fraction].findIndex((character) => character < "0" || character > "9");
  if (odd >= 0) return { problem: `invalid nanoseconds: invalid character '${[...fraction][odd]}' at position ${odd}` };
  // Go uses nine digits and ignores the others. The fraction moves the time forward, also when the seconds are negative.
  return { ns: BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0")) };
}
