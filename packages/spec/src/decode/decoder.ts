/**
 * Decoders for JSON from outside: the only way in this repository to read such JSON. A decoder is a plain value that is built once; it visits
 * the members that it knows.
 * `go.ts` reads a document as Go's encoding/json does (bodies of Docker's API). `exact.ts` reads a document with exact names (OCI
 * configurations, manifests).
 * No file here needs a library, because worker threads load these files.
 */
import { EngineError } from "@fathom/base";

export interface Decoder<T> {
  /** `path` names the value in errors. @throws DecodeError */
  decode(value: unknown, path: string): T;
  /** The value for a missing member; undefined leaves the member out. */
  readonly zero: T | undefined;
  /**
   * How the member of an exact document may be missing (absent, null, or both). Without it, the member is required. In Go's documents both are
   * always allowed.
   */
  readonly missing?: "absent" | "absent or null";
}

export interface DecodeProblem {
  /** For example "linux.namespaces[1].type"; "" is the document itself. */
  readonly path: string;
  readonly reason: string;
}

/** The problems of a document, in its order. Only decoders see this error: `decodeDocument` and `decodeBody` throw an EngineError. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  readonly problems: readonly DecodeProblem[];

  constructor(problems: readonly DecodeProblem[]) {
    super(problems.map(({ path, reason }) => `${path}: ${reason}`).join("; "));
    this.problems = problems;
  }
}

/** A message names at most this many problems. */
export const shownProblems = 5;

export function refused(path: string, reason: string): DecodeError {
  return new DecodeError([{ path, reason }]);
}

export function wrongType(path: string, expected: string, value: unknown): DecodeError {
  return refused(path, `expected ${expected}, got ${kindOf(value)}`);
}

function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  const kind = Array.isArray(value) ? "array" : typeof value === "bigint" ? "number" : typeof value;
  return /^[aeiou]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}

/** A body of Docker's API. null gives the zero value. @throws invalid-argument "invalid JSON: …" with the first problem, after `prefix` */
export function decodeBody<T>(decoder: Decoder<T>, value: unknown, prefix = "invalid JSON"): T {
  try {
    return decoder.decode(value ?? {}, "");
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const { path, reason } = error.problems[0]!;
    throw new EngineError("invalid-argument", `${prefix}: ${path === "" ? "" : `${path}: `}${reason}`, {
      cause: error,
    });
  }
}

/** A document with a name. @throws invalid-argument "config.json: process.cwd: …; linux.…: …" with at most five problems */
export function decodeDocument<T>(decoder: Decoder<T>, value: unknown, name: string): T {
  try {
    return decoder.decode(value, "");
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const lines = error.problems
      .slice(0, shownProblems)
      .map(({ path, reason }) => `${path === "" ? "the document" : path}: ${reason}`);
    const more = error.problems.length > shownProblems ? "; and more" : "";
    throw new EngineError("invalid-argument", `${name}: ${lines.join("; ")}${more}`, { cause: error });
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function objectAt(value: unknown, path: string): JsonObject {
  if (!isObject(value)) throw wrongType(path, "an object", value);
  return value;
}

export function memberPath(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** A decoder for each member of T. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Decoder<T[K]> | (undefined extends T[K] ? Decoder<T[K] | undefined> : never);
};

/**
 * The results of the decoders of a table, as the value that the table declares. Only this function asserts a type for data from outside:
 * `Fields<T>` has a decoder for each member of T, and the caller has run all of them.
 */
export function declared<T extends object>(members: object): T {
  return members as T;
}

export const boolean: Decoder<boolean> = {
  zero: false,
  decode(value, path) {
    if (typeof value !== "boolean") throw wrongType(path, "true or false", value);
    return value;
  },
};

/** A whole number that JavaScript holds exactly: at most 2^53. No field of Docker has a meaning for larger 64-bit numbers. */
export const integer: Decoder<number> = {
  zero: 0,
  decode(value, path) {
    if (typeof value !== "number") throw wrongType(path, "a whole number", value);
    if (!Number.isSafeInteger(value)) throw refused(path, `${value} is not a whole number in range`);
    return value;
  },
};

/** A whole number from `min` to `max`. */
export function between(min: number, max: number): Decoder<number> {
  return {
    zero: 0,
    decode(value, path) {
      const number = integer.decode(value, path);
      if (number < min || number > max) throw refused(path, `${number} is not between ${min} and ${max}`);
      return number;
    },
  };
}

/** A whole number from 0 to `max`. */
export function unsigned(max = Number.MAX_SAFE_INTEGER): Decoder<number> {
  return between(0, max);
}

/** null and absent leave the member out. */
export function optional<T>(inner: Decoder<T>): Decoder<T | undefined> {
  return { zero: undefined, decode: inner.decode, missing: "absent or null" };
}
