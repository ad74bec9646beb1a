/** For tests: waits until a condition becomes true. */

/** @throws with `what` when the condition does not become true in time */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { limitMs = 10_000, everyMs = 5 }: { readonly limitMs?: number; readonly everyMs?: number } = {},
): Promise<void> {
  for (const deadline = performance.now() + limitMs; !(await condition()); await Bun.sleep(everyMs))
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
}
