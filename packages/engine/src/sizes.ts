/** Sizes as users write them: "64m", "1.5g", "1024", "10kb", "10KiB". Binary multiples, as Docker counts memory. */
import { EngineError } from "@fathom/base";

const units: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/**
 * Bytes.
 * @throws invalid-argument "invalid size: 'abc'"
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text);
  if (!match) throw new EngineError("invalid-argument", `invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * units[(match[2] ?? "").toLowerCase()]!);
}
