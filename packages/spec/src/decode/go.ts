/**
 * Decoding of JSON as Go's encoding/json does it for Docker's structs, because clients rely on that behaviour. Unknown fields are ignored. Keys
 * match without regard to case, and the last one counts. null and absent both give the zero value. A wrong type is an error in Go's words, with
 * the field and its Go type, and the first error in the document ends the decoding. Each request is read once, field by field.
 */
import { sortedKeys } from "@fathom/base";
import {
  DecodeError,
  declared,
  isObject,
  memberPath,
  refused,
  type Decoder,
  type Fields,
  type JsonObject,
} from "./decoder.ts";

/** A decoder of a Go type. */
export interface GoDecoder<T> extends Decoder<T> {
  /** As Go prints it: "[]string", "container.HostConfig". */
  readonly type: string;
}

/** A number of a text as it is written there. Go's integers accept neither a fraction nor an exponent, and have 64 bits. */
export class WrittenNumber {
  constructor(readonly source: string) {}
}

/**
 * A value of the wrong type, in Go's words. The decoder of a struct adds the struct's name (the innermost name stays) and the names of the
 * fields that lead to the value.
 */
class UnmarshalError extends DecodeError {
  constructor(
    readonly found: string,
    readonly type: string,
    readonly owner = "",
    readonly field = "",
  ) {
    const target = owner === "" ? "value" : `struct field ${owner}.${field}`;
    super([{ path: "", reason: `json: cannot unmarshal ${found} into Go ${target} of type ${type}` }]);
  }

  in(owner: string, field: string): UnmarshalError {
    const path = this.field === "" ? field : `${field}.${this.field}`;
    return new UnmarshalError(this.found, this.type, this.owner === "" ? owner : this.owner, path);
  }
}

function mismatch(value: unknown, type: string): UnmarshalError {
  const kind = Array.isArray(value)
    ? "array"
    : typeof value === "boolean"
      ? "bool"
      : value instanceof WrittenNumber
        ? "number"
        : typeof value;
  return new UnmarshalError(kind, type);
}

/** The same decoder for a type that has a name in Go: `named("mount.Type", string)`. */
export function named<T>(type: string, inner: GoDecoder<T>): GoDecoder<T> {
  return {
    type,
    zero: inner.zero,
    decode(value, path) {
      try {
        return inner.decode(value, path);
      } catch (error) {
        // The value itself is wrong; no item or field in it is.
        const own = error instanceof UnmarshalError && error.owner === "" && error.type === inner.type;
        throw own ? new UnmarshalError(error.found, type) : error;
      }
    },
  };
}

/** A text without NUL. No consumer of these texts can handle a NUL; the kernel cannot. */
export const string: GoDecoder<string> = {
  type: "string",
  zero: "",
  decode(value, path) {
    if (typeof value !== "string") throw mismatch(value, "string");
    if (value.includes("\0")) throw refused(path, `${JSON.stringify(value)} holds a NUL byte`);
    return value;
  },
};

export const bool: GoDecoder<boolean> = {
  type: "bool",
  zero: false,
  decode(value) {
    if (typeof value !== "boolean") throw mismatch(value, "bool");
    return value;
  },
};

/**
 * A whole number. Above 2^53, where JavaScript does not hold all of them, it becomes the next one toward zero: such a limit is no limit, and its
 * last digits have no meaning.
 */
function wholeNumber(type: string, min: bigint, max: bigint): GoDecoder<number> {
  const [least, most] = [towardZero(min), towardZero(max)];
  return {
    type,
    zero: 0,
    decode(value) {
      if (value instanceof WrittenNumber) {
        const exact = /^-?\d+$/.test(value.source) ? BigInt(value.source) : undefined;
        if (exact === undefined || exact < min || exact > max) throw new UnmarshalError(`number ${value.source}`, type);
        return towardZero(exact);
      }
      if (typeof value !== "number") throw mismatch(value, type);
      if (!Number.isInteger(value) || value < least || value > most) throw new UnmarshalError(`number ${value}`, type);
      return value;
    },
  };
}

function towardZero(exact: bigint): number {
  const near = Number(exact);
  const tooFar = exact < 0n ? BigInt(near) < exact : BigInt(near) > exact;
  if (!tooFar) return near;
  const bits = new BigInt64Array(new Float64Array([near]).buffer);
  bits[0] = bits[0]! - 1n;
  return new Float64Array(bits.buffer)[0]!;
}

const [minInt64, maxInt64, maxUint64] = [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 64n - 1n];
export const int = wholeNumber("int", minInt64, maxInt64);
export const int64 = wholeNumber("int64", minInt64, maxInt64);
export const uint = wholeNumber("uint", 0n, maxUint64);
export const uint16 = wholeNumber("uint16", 0n, 0xffffn);
export const uint32 = wholeNumber("uint32", 0n, 0xffff_ffffn);
export const uint64 = wholeNumber("uint64", 0n, maxUint64);

function objectOf(value: unknown, type: string): JsonObject {
  if (!isObject(value) || value instanceof WrittenNumber) throw mismatch(value, type);
  return value;
}

/** null stays null. */
export function nullable<T>(inner: GoDecoder<T>): GoDecoder<T | null> {
  return { type: inner.type, zero: null, decode: inner.decode };
}

/** null and absent leave the member out. */
export function optional<T>(inner: GoDecoder<T>): GoDecoder<T | undefined> {
  return { type: inner.type, zero: undefined, decode: inner.decode, missing: "absent or null" };
}

/** @param pointers The items are pointers in Go. */
export function array<T>(item: GoDecoder<T>, pointers?: "pointers"): GoDecoder<readonly T[]> {
  const type = `[]${pointers === undefined ? "" : "*"}${item.type}`;
  return {
    type,
    zero: undefined,
    decode(value, path) {
      if (!Array.isArray(value)) throw mismatch(value, type);
      return value.map((entry: unknown, index) => decodeElement(item, entry, `${path}[${index}]`));
    },
  };
}

/** Exactly two items, as in Go: a shorter list is filled with zeros and a longer one is cut. */
export function pair(item: GoDecoder<number>): GoDecoder<readonly [number, number]> {
  const type = `[2]${item.type}`;
  return {
    type,
    zero: undefined,
    decode(value, path) {
      if (!Array.isArray(value)) throw mismatch(value, type);
      return [decodeElement(item, value[0], `${path}[0]`), decodeElement(item, value[1], `${path}[1]`)];
    },
  };
}

/** An object whose keys the client chose. `key` normalises each key. The keys are sorted, as Go writes its maps. */
export function map<T>(
  item: GoDecoder<T>,
  key: (text: string) => string = (text) => text,
): GoDecoder<Readonly<Record<string, T>>> {
  const type = `map[string]${item.type}`;
  return {
    type,
    zero: undefined,
    decode(value, path) {
      const result: [string, T][] = [];
      for (const [name, entry] of Object.entries(objectOf(value, type))) {
        string.decode(name, `a name in ${path}`);
        result.push([key(name), decodeElement(item, entry, `${path}.${name}`)]);
      }
      // Not by assignments: a key like "__proto__" must become an ordinary key.
      return sortedKeys(Object.fromEntries(result));
    },
  };
}

/** Go's struct{}: any object is accepted and read as empty. */
export const emptyObject: GoDecoder<object> = {
  type: "struct {}",
  zero: undefined,
  decode(value) {
    objectOf(value, "struct {}");
    return {};
  },
};

function decodeElement<T>(item: Decoder<T>, value: unknown, path: string): T {
  if (value !== null && value !== undefined) return item.decode(value, path);
  if (item.zero !== undefined) return item.zero;
  return item.decode({}, path);
}

/** Fields that Go's struct has from an embedded struct: when Go's error names such a field, it names the embedded struct too. */
export interface Embedded {
  readonly name: string;
  readonly fields: object;
}

/**
 * A struct with these fields, in this order. A nested struct that is absent is decoded from {}, so that it has all its fields.
 * @param type As Go prints it: "container.HostConfig".
 */
export function struct<T extends object>(type: string, fields: Fields<T>, embedded?: Embedded): GoDecoder<T> {
  const entries = Object.entries<Decoder<unknown>>(fields);
  const names = new Map(entries.map(([name]) => [name.toLowerCase(), name]));
  const owner = type.slice(type.lastIndexOf(".") + 1);
  const decodeMember = (name: string, value: unknown, path: string): unknown => {
    try {
      return fields[name as keyof T].decode(value, memberPath(path, name));
    } catch (error) {
      if (!(error instanceof UnmarshalError)) throw error;
      const inside = embedded !== undefined && Object.hasOwn(embedded.fields, name) ? `${embedded.name}.` : "";
      throw error.in(owner, `${inside}${name}`);
    }
  };
  return {
    type,
    zero: undefined,
    decode(value, path) {
      const found: Record<string, unknown> = Object.create(null);
      for (const [key, entry] of Object.entries(objectOf(value, type))) {
        if (entry === null || entry === undefined) continue;
        const name = Object.hasOwn(fields, key) ? key : names.get(key.toLowerCase());
        if (name !== undefined) found[name] = decodeMember(name, entry, path);
      }
      const result: Record<string, unknown> = {};
      for (const [name, field] of entries) {
        const decoded = name in found ? found[name] : field.zero;
        if (decoded !== undefined) result[name] = decoded;
      }
      return declared<T>(result);
    },
  };
}

/** A nested struct that is never null: absent and null give a struct of zero values. */
export function whole<T extends object>(inner: GoDecoder<T>): GoDecoder<T> {
  return { type: inner.type, zero: Object.freeze(inner.decode({}, "")), decode: inner.decode };
}
