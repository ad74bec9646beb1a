/**
 * Decoding of JSON as Go's encoding/json does it for Docker's structs, because clients rely on that behaviour. Unknown fields are ignored. Keys
 * match without regard to case, and an exact match wins. null and absent both give the zero value. A wrong type is an error that names the
 * field, and the first error ends the decoding. Each request is read once, field by field.
 */
import { sortedKeys } from "@fathom/base";
import { declared, memberPath, objectAt, refused, wrongType, type Decoder, type Fields } from "./decoder.ts";

/** A text without NUL. No consumer of these texts can handle a NUL; the kernel cannot. */
export const string: Decoder<string> = {
  zero: "",
  decode(value, path) {
    if (typeof value !== "string") throw wrongType(path, "a string", value);
    if (value.includes("\0")) throw refused(path, `${JSON.stringify(value)} holds a NUL byte`);
    return value;
  },
};

/** null stays null. */
export function nullable<T>(inner: Decoder<T>): Decoder<T | null> {
  return { zero: null, decode: inner.decode };
}

export function array<T>(item: Decoder<T>): Decoder<readonly T[]> {
  return {
    zero: undefined,
    decode(value, path) {
      if (!Array.isArray(value)) throw wrongType(path, "an array", value);
      return value.map((entry: unknown, index) => decodeElement(item, entry, `${path}[${index}]`));
    },
  };
}

/** Exactly `length` items, as in Go: a shorter list is filled with zeros and a longer one is cut. */
export function pair(item: Decoder<number>): Decoder<readonly [number, number]> {
  return {
    zero: undefined,
    decode(value, path) {
      if (!Array.isArray(value)) throw wrongType(path, "an array of two numbers", value);
      return [decodeElement(item, value[0], `${path}[0]`), decodeElement(item, value[1], `${path}[1]`)];
    },
  };
}

/** An object whose keys the client chose. `key` normalises each key. The keys are sorted, as Go writes its maps. */
export function map<T>(
  item: Decoder<T>,
  key: (text: string) => string = (text) => text,
): Decoder<Readonly<Record<string, T>>> {
  return {
    zero: undefined,
    decode(value, path) {
      const result: Record<string, T> = {};
      for (const [name, entry] of Object.entries(objectAt(value, path))) {
        string.decode(name, `a name in ${path}`);
        // Not an assignment: a key like "__proto__" must become an ordinary key.
        Object.defineProperty(result, key(name), {
          value: decodeElement(item, entry, `${path}.${name}`),
          enumerable: true,
          configurable: true,
          writable: true,
        });
      }
      return sortedKeys(result);
    },
  };
}

/** Go's struct{}: any object is accepted and read as empty. */
export const emptyObject: Decoder<object> = {
  zero: undefined,
  decode(value, path) {
    objectAt(value, path);
    return {};
  },
};

function decodeElement<T>(item: Decoder<T>, value: unknown, path: string): T {
  if (value !== null && value !== undefined) return item.decode(value, path);
  if (item.zero !== undefined) return item.zero;
  return item.decode({}, path);
}

/** A struct with these fields, in this order. A nested struct that is absent is decoded from {}, so that it has all its fields. */
export function struct<T extends object>(fields: Fields<T>): Decoder<T> {
  const entries = Object.entries<Decoder<unknown>>(fields);
  const names = new Map(entries.map(([name]) => [name.toLowerCase(), name]));
  return {
    zero: undefined,
    decode(value, path) {
      const source = objectAt(value, path);
      const found: Record<string, unknown> = Object.create(null);
      for (const [key, entry] of Object.entries(source)) {
        if (entry === null || entry === undefined) continue;
        if (Object.hasOwn(fields, key)) found[key] = entry;
        else {
          const name = names.get(key.toLowerCase());
          if (name !== undefined && !Object.hasOwn(source, name)) found[name] = entry;
        }
      }
      const result: Record<string, unknown> = {};
      for (const [name, field] of entries) {
        const entry = found[name];
        const decoded = entry === undefined ? field.zero : field.decode(entry, memberPath(path, name));
        if (decoded !== undefined) result[name] = decoded;
      }
      return declared<T>(result);
    },
  };
}

/** A nested struct that is never null: absent and null give a struct of zero values. */
export function whole<T extends object>(inner: Decoder<T>): Decoder<T> {
  return { zero: Object.freeze(inner.decode({}, "")), decode: inner.decode };
}
