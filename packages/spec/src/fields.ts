/**
 * Reading fields of JSON that came over the network: each function takes an `unknown`, gives the typed value, or throws an EngineError that
 * names the field. Hand-written because worker threads load it: a schema library would cost each of them megabytes.
 */
import { EngineError } from "@fathom/base";

export type Fields = Readonly<Record<string, unknown>>;

export function wrong(where: string, expected: string): EngineError {
  return new EngineError("invalid-argument", `${where} is not ${expected}`);
}

/** JSON text of at most `limitBytes`. @throws invalid-argument */
export function parseJson(raw: Uint8Array, what: string, limitBytes: number): unknown {
  if (raw.length > limitBytes)
    throw new EngineError("invalid-argument", `${what} has ${raw.length} bytes, more than the limit of ${limitBytes}`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw));
  } catch (cause) {
    throw new EngineError("invalid-argument", `${what} is not valid JSON`, { cause });
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function fieldsOf(value: unknown, where: string): Fields {
  if (!isFields(value)) throw wrong(where, "an object");
  return value;
}

export function textOf(value: unknown, where: string): string {
  if (typeof value !== "string") throw wrong(where, "a string");
  return value;
}

export function arrayOf(value: unknown, where: string, limit: number): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(where, "an array");
  if (value.length > limit)
    throw new EngineError("invalid-argument", `${where} has ${value.length} entries, more than the limit of ${limit}`);
  return value;
}

/** undefined for what is absent; Go writes absent lists and maps as null. */
export function optional<T>(value: unknown, where: string, read: (value: unknown, where: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value, where);
}

export function textArrayOf(value: unknown, where: string): readonly string[] {
  return arrayOf(value, where, 10_000).map((entry, index) => textOf(entry, `${where}[${index}]`));
}

export function textMapOf(value: unknown, where: string): Readonly<Record<string, string>> {
  const fields = fieldsOf(value, where);
  const map: Record<string, string> = Object.create(null);
  for (const [key, entry] of Object.entries(fields)) map[key] = textOf(entry, `${where}.${key}`);
  return { ...map };
}

/** A count or a number of bytes. */
export function sizeOf(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw wrong(where, "a size");
  return value;
}

export function integerOf(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isInteger(value)) throw wrong(where, "an integer");
  return value;
}

/** An object without the entries that are undefined, so that optional fields stay absent. */
export function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
