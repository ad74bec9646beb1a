/** Makes numbers and structures of flag values. Errors have docker's messages. */
import { isIP } from "node:net";
import { parseSize, parseUlimit as readUlimit, type Ulimit } from "@fathom/spec";

/** "64m", "1.5GiB", "64 mb". */
export function parseBytes(text: string): number {
  const size = parseSize(text);
  if ("wrong" in size) throw new Error(size.wrong);
  return size.bytes;
}

const durationUnits: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** As Go's time.ParseDuration, in nanoseconds. */
export function parseDuration(text: string): number {
  const fail = (): never => {
    throw new Error(`time: invalid duration ${JSON.stringify(text)}`);
  };
  if (text === "0") return 0;
  const body = /^[+-]?(.+)$/s.exec(text)?.[1] ?? fail();
  let total = 0;
  let rest = body;
  while (rest !== "") {
    const match = /^(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)?/.exec(rest);
    if (match === null) return fail();
    if (match[2] === undefined) throw new Error(`time: missing unit in duration ${JSON.stringify(text)}`);
    total += Number(match[1]) * durationUnits[match[2]]!;
    rest = rest.slice(match[0].length);
  }
  return text.startsWith("-") ? -Math.round(total) : Math.round(total);
}

/** `--cpus` in billionths of a CPU. */
export function parseNanoCpus(text: string): number {
  const value = /^\d+(?:\.\d+)?$|^\.\d+$|^\d+\/\d+$/.test(text)
    ? Number(text.includes("/") ? Number(text.split("/")[0]) / Number(text.split("/")[1]) : text)
    : Number.NaN;
  if (!Number.isFinite(value)) throw new Error(`failed to parse ${text} as a rational number`);
  const nano = value * 1e9;
  if (Math.abs(nano - Math.round(nano)) > 1e-6) throw new Error("value is too precise");
  return Math.round(nano);
}

export function parseUlimit(text: string): Ulimit {
  const ulimit = readUlimit(text);
  if ("wrong" in ulimit) throw new Error(ulimit.wrong);
  return ulimit.limit;
}

/** Makes the API's form of "name:address" or "name=address". */
export function parseAddHost(text: string): string {
  const match = /^([^=:]+)[=:](.+)$/s.exec(text);
  if (match === null) throw new Error(`bad format for add-host: ${JSON.stringify(text)}`);
  const address = match[2]!.replace(/^\[(.*)\]$/, "$1");
  if (address !== "host-gateway" && isIP(address) === 0)
    throw new Error(`invalid IP address in add-host: ${JSON.stringify(match[2])}`);
  return `${match[1]}:${address}`;
}

export function parseIpAddress(text: string): string {
  if (isIP(text.trim()) === 0) throw new Error(`IP address is not correctly formatted: ${text}`);
  return text.trim();
}

/** One CSV record, as Go's encoding/csv reads it: a field with commas has quotes. */
export function parseCsvRecord(text: string): string[] {
  const fields: string[] = [];
  let field = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quoted) {
      if (char !== '"') field += char;
      else if (text[i + 1] === '"') {
        field += '"';
        i += 1;
      } else quoted = false;
    } else if (char === '"' && field === "") quoted = true;
    else if (char === '"') throw new Error("parse error on line 1, column " + (i + 1) + ': bare " in non-quoted field');
    else if (char === ",") {
      fields.push(field);
      field = "";
    } else field += char;
  }
  if (quoted)
    throw new Error(`parse error on line 1, column ${text.length + 1}: extraneous or missing " in quoted-field`);
  return [...fields, field];
}

/** "a=1,b=2", as pflag reads a map: a value with a comma has quotes. */
export function parsePairs(text: string): (readonly [string, string])[] {
  return parseCsvRecord(text).map((part) => {
    const equals = part.indexOf("=");
    if (equals < 0) throw new Error(`${part} must be formatted as key=value`);
    return [part.slice(0, equals), part.slice(equals + 1)] as const;
  });
}
