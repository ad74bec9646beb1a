/**
 * Times on the command line: seconds since the epoch, RFC 3339 (parts may be missing), or a duration before now. The API gets
 * "seconds.nanoseconds".
 */
import { EngineError } from "@fathom/base";
import { parseDuration } from "../run-options/values.ts";

export function timestampQuery(text: string, what: string, nowMs: number = Date.now()): string | undefined {
  if (text === "") return undefined;
  if (/^\d+(\.\d{1,9})?$/.test(text)) return text;
  try {
    const ns = BigInt(Math.round(nowMs * 1e6)) - BigInt(parseDuration(text));
    return `${ns / 1_000_000_000n}.${(ns % 1_000_000_000n).toString().padStart(9, "0")}`;
  } catch {
    // It is no duration, so it must be a date.
  }
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d(?::\d\d(?::\d\d)?)?)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  const time = match?.[2] === undefined ? "00:00:00" : `${match[2]}:00:00`.slice(0, 8);
  // A time without a zone is in this machine's zone, as in docker.
  const ms = match === null ? Number.NaN : Date.parse(`${match[1]}T${time}${match[4] ?? ""}`);
  if (match === null || Number.isNaN(ms))
    throw new EngineError(
      "invalid-argument",
      `${what === "" ? "" : `invalid value for ${JSON.stringify(what)}: `}failed to parse value as time or duration: ${JSON.stringify(text)}`,
    );
  return `${Math.floor(ms / 1000)}.${(match[3] ?? "").padEnd(9, "0")}`;
}
