/** The `until` filter of prune: a duration before now ("24h", "1h30m") or a time. */
import { EngineError, parseRfc3339Nano, parseUnixTime } from "@fathom/base";

const unitNs: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/**
 * Nanoseconds since the epoch; undefined without the filter.
 * @throws invalid-argument "failed to parse value as time or duration: …"
 */
export function parseUntil(values: readonly string[], nowNs: bigint): bigint | undefined {
  if (values.length > 1) throw new EngineError("invalid-argument", "more than one until filter specified");
  const text = values[0];
  if (text === undefined) return undefined;
  const time = durationBefore(text, nowNs) ?? localTime(text);
  if (time !== undefined) return time;
  const seconds = parseUnixTime(text);
  if ("ns" in seconds) return seconds.ns;
  const problem = text.includes("-") ? `${JSON.stringify(text)} is no time` : seconds.problem;
  throw new EngineError("invalid-argument", `failed to parse value as time or duration: ${problem}`);
}

function durationBefore(text: string, nowNs: bigint): bigint | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0n;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
    total += BigInt(Math.round(Number(number) * Number(unitNs[unit!]!)));
  return nowNs - total;
}

function localTime(text: string): bigint | undefined {
  const exact = parseRfc3339Nano(text);
  if (exact !== undefined) return exact;
  if (!/^\d{4}-\d\d-\d\d(T\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?$/.test(text)) return undefined;
  const full = text.length === 10 ? `${text}T00:00:00` : text.length === 13 ? `${text}:00` : text;
  const ms = Date.parse(full);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n;
}
