/** daemon.json. */
import { readFileSync, statSync } from "node:fs";
import { isEngineError, messageOf, type EngineError } from "@fathom/base";
import {
  anything,
  boolean,
  decodeDocument,
  exact,
  isObject,
  list,
  record,
  text,
  wholeNumber,
  type Decoder,
} from "@fathom/spec";
import { daemonOptions, keyOf, type DaemonOption } from "./daemon-options.ts";
import { OptionValues, type OptionValue, type Pool } from "./option-values.ts";
import { bytesOf, checkUlimit, invalid } from "./value-texts.ts";

/** @param explicit A flag names the file, so it must exist. @throws invalid-argument in dockerd's words, which name the file */
export function readConfigFile(path: string, explicit: boolean, flags: OptionValues): OptionValues {
  const fail = (reason: string): EngineError =>
    invalid(`unable to configure the Fathom daemon with file ${path}: ${reason}`);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    if (explicit) throw fail(`open ${path}: no such file or directory`);
    return new OptionValues();
  }
  const content = readFileSync(path, "utf8");
  if (content.trim() === "") return new OptionValues();
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (error) {
    throw fail(`invalid JSON: ${messageOf(error)}`);
  }
  if (!isObject(parsed)) throw fail("it does not hold a JSON object");
  const byKey = new Map(
    daemonOptions.flatMap((option) => (keyOf(option) === undefined ? [] : [[keyOf(option)!, option] as const])),
  );
  const entries = flattened(parsed);
  const unknown = entries.map(([key]) => key).filter((key) => !byKey.has(key));
  if (unknown.length > 0)
    throw fail(`the following directives don't match any configuration option: ${unknown.join(", ")}`);
  const values: [string, OptionValue][] = [];
  const conflicts: string[] = [];
  for (const [key, raw] of entries) {
    const option = byKey.get(key)!;
    let value: OptionValue;
    try {
      value = fileValue(option, raw, key);
    } catch (error) {
      throw fail(messageOf(error));
    }
    const flag = flags.get(option.flag);
    // In dockerd, flags can only add to a list or map of the file for named options; one place is clearer.
    if (flag !== undefined) conflicts.push(`${key}: (from flag: ${show(flag)}, from file: ${show(value)})`);
    values.push([option.flag, value]);
  }
  if (conflicts.length > 0)
    throw fail(
      `the following directives are specified both as a flag and in the configuration file: ${conflicts.join(", ")}`,
    );
  return new OptionValues(values);
}

/** Each name in "proxies" is an option of its own: "proxies.http-proxy". */
function flattened(content: object): (readonly [string, unknown])[] {
  return Object.entries(content).flatMap(([key, value]: [string, unknown]) =>
    key === "proxies" && isObject(value)
      ? Object.entries(value).map(([name, one]) => [`proxies.${name}`, one] as const)
      : [[key, value] as const],
  );
}

function show({ value }: OptionValue): string {
  if (Array.isArray(value))
    return `[${value.map((item) => (typeof item === "object" ? JSON.stringify(item) : String(item))).join(" ")}]`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const ulimit = exact<{ Hard: number; Soft: number }>({ Hard: wholeNumber, Soft: wholeNumber });
const pool = exact<Pool>({ base: text, size: wholeNumber });

function fileValue({ kind }: DaemonOption, raw: unknown, key: string): OptionValue {
  /** The error names the key and its value in the file, because a decoder's own message has only the kind of the value. */
  const read = <T>(decoder: Decoder<T>, expected: string): T => {
    try {
      return decodeDocument(decoder, raw, key);
    } catch (error) {
      if (!isEngineError(error, "invalid-argument")) throw error;
      throw invalid(`${key}: expected ${expected}, found ${JSON.stringify(raw)}`);
    }
  };
  switch (kind) {
    case "boolean":
      return { kind, value: read(boolean, "true or false") };
    case "string":
      return { kind, value: read(text, "a string") };
    case "integer":
      return { kind, value: read(wholeNumber, "a whole number") };
    case "size":
      return { kind, value: typeof raw === "number" ? raw : bytesOf(read(text, "a size"), key) };
    case "list":
      if (typeof raw === "string" && key === "host-gateway-ips") return { kind, value: [raw] };
      return { kind, value: read(list(text), "a list of strings") };
    case "map": {
      const entries = Object.entries(read(record(anything), "an object"));
      return { kind, value: Object.fromEntries(entries.map(([name, value]) => [name, String(value)])) };
    }
    case "ulimits": {
      read(record(anything), "an object");
      const limits = read(record(ulimit), 'objects of the form {"Name": "nofile", "Hard": 64000, "Soft": 64000}');
      const value = Object.entries(limits).map(([Name, limit]) => checkUlimit({ Name, ...limit }, key));
      return { kind, value };
    }
    case "pools":
      read(list(anything), "a list of objects");
      return { kind, value: read(list(pool), 'objects of the form {"base": "172.30.0.0/16", "size": 24}') };
  }
}
