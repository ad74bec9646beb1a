/** Values as texts: from flags, and from daemon.json where it has texts. */
import { EngineError } from "@fathom/base";
import { parseBool, parseSize, parseUlimit, wrongUlimit, type Ulimit } from "@fathom/spec";
import type { Pool } from "./option-values.ts";

export function invalid(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}

export function booleanOf(text: string, name: string): boolean {
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw invalid(
    `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: it is neither true nor false`,
  );
}

export function parseInteger(text: string, name: string): number {
  if (!/^-?\d+$/.test(text))
    throw invalid(
      `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: it is not a whole number`,
    );
  return Number(text);
}

/** @throws invalid-argument; the message names the option or the key */
export function bytesOf(text: string, name: string): number {
  const size = parseSize(text);
  if ("wrong" in size)
    throw invalid(`invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)}: ${size.wrong}`);
  return size.bytes;
}

export function splitPair(text: string, name: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1)
    throw invalid(`invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: expected key=value`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

export function ulimitOf(text: string, name: string): Ulimit {
  const ulimit = parseUlimit(text);
  if ("wrong" in ulimit)
    throw invalid(`invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: ${ulimit.wrong}`);
  return ulimit.limit;
}

export function checkUlimit(limit: Ulimit, name: string): Ulimit {
  const wrong = wrongUlimit(limit);
  if (wrong !== undefined) throw invalid(`${name}: ${wrong}`);
  return limit;
}

export function parsePool(text: string, name: string): Pool {
  const fields = Object.fromEntries(text.split(",").map((part) => splitPair(part, name)));
  const unknown = Object.keys(fields).find((key) => key !== "base" && key !== "size");
  if (unknown !== undefined)
    throw invalid(
      `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: unexpected key '${unknown}' in '${unknown}=${fields[unknown]}'`,
    );
  if (fields["base"] === undefined || fields["size"] === undefined)
    throw invalid(
      `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(name)} flag: expected base=CIDR,size=N`,
    );
  return { base: fields["base"], size: parseInteger(fields["size"], name) };
}
