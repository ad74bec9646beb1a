/** Sizes as users write them ("64m", "1.5g", "1024", "10kb", "10KiB"), and as Docker shows them. */

/**
 * The bytes, or a message in the words of go-units about what is wrong with the text. The number ends at the last digit, point or space.
 * @param base 1024: RAMInBytes, as Docker counts memory; 1000: FromHumanSize, as it counts log files. "KiB" is as "k" in both.
 */
export function parseSize(
  text: string,
  base: 1000 | 1024 = 1024,
): { readonly bytes: number } | { readonly wrong: string } {
  const match = /^(.*[\d. ])([^\d. ]*)$/s.exec(text);
  if (match === null) return { wrong: `invalid size: '${text}'` };
  const number = match[1]!.replace(/ $/, "");
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(number))
    return { wrong: `strconv.ParseFloat: parsing ${JSON.stringify(number)}: invalid syntax` };
  const value = Number(number);
  if (!Number.isFinite(value))
    return { wrong: `strconv.ParseFloat: parsing ${JSON.stringify(number)}: value out of range` };
  if (value < 0) return { wrong: `invalid size: '${text}'` };
  const suffix = match[2]!.toLowerCase();
  const unit = /^(?:b|([kmgtp])(?:i?b)?)?$/.exec(suffix);
  if (unit === null) return { wrong: `invalid suffix: '${suffix}'` };
  return { bytes: Math.trunc(value * base ** " kmgtp".indexOf(unit[1] ?? " ")) };
}

/** As go-units' HumanSize: powers of 1000, with this many significant digits. */
export function humanSize(bytes: number, digits = 4): string {
  return inUnits(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB"], digits);
}

/** As go-units' BytesSize: powers of 1024. */
export function bytesSize(bytes: number, digits = 4): string {
  return inUnits(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], digits);
}

function inUnits(bytes: number, base: number, units: readonly string[], digits: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  // As %.Ng of Go: no zeros at the end.
  return `${Number(value.toPrecision(digits))}${units[unit]}`;
}
