/**
 * Decoding of documents with exact names: OCI configurations, manifests, seccomp profiles. Keys match exactly and unknown members are dropped.
 * A member that is not `optional` or `omittable` is required. An error names the wrong members, at most five.
 */
import {
  DecodeError,
  declared,
  integer,
  memberPath,
  objectAt,
  refused,
  shownProblems,
  wrongType,
  type DecodeProblem,
  type Decoder,
  type Fields,
} from "./decoder.ts";

/** Collects the problems of the members of one value. The decoder continues after a problem, so that a user sees more than the first one. */
class Problems {
  readonly #found: DecodeProblem[] = [];

  /** Keeps the problems of one value. @throws DecodeError when there are more problems than a message names; any other error unchanged */
  add(error: unknown): void {
    if (!(error instanceof DecodeError)) throw error;
    this.#found.push(...error.problems);
    if (this.#found.length > shownProblems) throw new DecodeError(this.#found);
  }

  /** @throws DecodeError when there are problems */
  end(): void {
    if (this.#found.length > 0) throw new DecodeError(this.#found);
  }
}

export const text: Decoder<string> = {
  zero: "",
  decode(value, path) {
    if (typeof value !== "string") throw wrongType(path, "a string", value);
    return value;
  },
};

/** @param reason What the text must be; the message for a text that does not match the pattern. */
export function matching(pattern: RegExp, reason: string): Decoder<string> {
  return turned(text, (value, path) => {
    if (!pattern.test(value)) throw refused(path, reason);
    return value;
  });
}

export function oneOf<const T extends string>(words: readonly T[]): Decoder<T> {
  return {
    zero: undefined,
    decode(value, path) {
      const word = words.find((one) => one === value);
      if (word !== undefined) return word;
      const expected = `one of ${words.map((one) => JSON.stringify(one)).join(", ")}`;
      if (typeof value !== "string") throw wrongType(path, expected, value);
      throw refused(path, `expected ${expected}, got ${JSON.stringify(value.slice(0, 64))}`);
    },
  };
}

/** Any number. */
export const number: Decoder<number> = {
  zero: 0,
  decode(value, path) {
    if (typeof value !== "number") throw wrongType(path, "a number", value);
    return value;
  },
};

/** A whole number as JSON.parse gives it: above 2^53 the last digits are lost. */
export const wholeNumber: Decoder<number> = {
  zero: 0,
  decode(value, path) {
    if (typeof value !== "number") throw wrongType(path, "a whole number", value);
    if (!Number.isInteger(value)) throw refused(path, `${value} is not a whole number`);
    return value;
  },
};

/** A whole number of any size. It is a bigint when a number would lose digits (`parseJsonExactly`). */
export const int64: Decoder<number | bigint> = {
  zero: 0,
  decode(value, path) {
    return typeof value === "bigint" ? value : integer.decode(value, path);
  },
};

/** From 0 to 2^64-1. `toUint64` reduces larger numbers to that maximum. */
export const uint64: Decoder<number | bigint> = turned(int64, (value, path) => {
  if (value < 0) throw refused(path, `${value} is negative`);
  return value;
});

/** The value unchanged, also null. */
export const anything: Decoder<unknown> = { zero: undefined, decode: (value) => value };

/** An absent member is left out; null is rejected. */
export function omittable<T>(inner: Decoder<T>): Decoder<T | undefined> {
  return { zero: undefined, decode: inner.decode, missing: "absent" };
}

/** A missing member gets `zero`. */
export function orElse<T>(
  inner: Decoder<T>,
  zero: NoInfer<T>,
  missing: "absent" | "absent or null" = "absent or null",
): Decoder<T> {
  return { zero, decode: inner.decode, missing };
}

/** The result of `turn` for the value, or the problem that `turn` finds. */
export function turned<T, U>(inner: Decoder<T>, turn: (value: T, path: string) => U): Decoder<U> {
  return { zero: undefined, decode: (value, path) => turn(inner.decode(value, path), path) };
}

export function list<T>(item: Decoder<T>, limit = Number.POSITIVE_INFINITY): Decoder<T[]> {
  return {
    zero: undefined,
    decode(value, path) {
      if (!Array.isArray(value)) throw wrongType(path, "an array", value);
      if (value.length > limit) throw refused(path, `has ${value.length} entries, more than the limit of ${limit}`);
      const problems = new Problems();
      const result: T[] = [];
      for (const [index, entry] of value.entries()) {
        try {
          result.push(item.decode(entry, `${path}[${index}]`));
        } catch (error) {
          problems.add(error);
        }
      }
      problems.end();
      return result;
    },
  };
}

/** An object whose keys the writer chose, in their order. */
export function record<T>(item: Decoder<T>): Decoder<Record<string, T>> {
  return {
    zero: undefined,
    decode(value, path) {
      const problems = new Problems();
      const entries: [string, T][] = [];
      for (const [name, entry] of Object.entries(objectAt(value, path))) {
        try {
          entries.push([name, item.decode(entry, memberPath(path, name))]);
        } catch (error) {
          problems.add(error);
        }
      }
      problems.end();
      return Object.fromEntries(entries);
    },
  };
}

/** An object with the members of T. */
export function exact<T extends object>(fields: Fields<T>): Decoder<T> {
  const entries = Object.entries<Decoder<unknown>>(fields);
  return {
    zero: undefined,
    decode: (value, path) => declared<T>(members(entries, value, path)),
  };
}

/** The same, for a type that only the table declares. */
export function described<F extends Readonly<Record<string, Decoder<unknown>>>>(fields: F): Decoder<ObjectOf<F>> {
  const entries = Object.entries(fields);
  return {
    zero: undefined,
    decode: (value, path) => declared<ObjectOf<F>>(members(entries, value, path)),
  };
}

function members(
  fields: readonly (readonly [string, Decoder<unknown>])[],
  value: unknown,
  path: string,
): Readonly<Record<string, unknown>> {
  const source = objectAt(value, path);
  const problems = new Problems();
  const result: Record<string, unknown> = {};
  for (const [name, field] of fields) {
    const entry = Object.hasOwn(source, name) ? source[name] : undefined;
    const absent = entry === undefined && field.missing !== undefined;
    const missing = absent || (entry === null && field.missing === "absent or null");
    let decoded: unknown;
    try {
      decoded = missing ? copyOf(field.zero) : field.decode(entry, memberPath(path, name));
    } catch (error) {
      problems.add(error);
    }
    if (decoded !== undefined) result[name] = decoded;
  }
  problems.end();
  return result;
}

type ValueOf<D> = D extends Decoder<infer T> ? T : never;
type OptionalOf<F> = { [K in keyof F]: undefined extends ValueOf<F[K]> ? K : never }[keyof F];

/** The type of the value that a table decodes. Members that may be absent are optional. */
export type ObjectOf<F> = { [K in Exclude<keyof F, OptionalOf<F>>]: ValueOf<F[K]> } & {
  [K in OptionalOf<F>]?: ValueOf<F[K]>;
};
export type Decoded<D> = ValueOf<D>;

/** Two documents do not share a zero value. */
function copyOf(zero: unknown): unknown {
  return typeof zero === "object" ? structuredClone(zero) : zero;
}
