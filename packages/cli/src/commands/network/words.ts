/** Flags that take several values, also separated by commas. */
export function words(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(","));
}
