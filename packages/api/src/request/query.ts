/** The query of a request, with Docker's rules for booleans, numbers and times. */
import { EngineError, parseUnixTime } from "@fathom/base";
import { parseFilters, type Filters, type Platform, decodePlatform } from "@fathom/spec";

const falseWords = new Set(["", "0", "no", "false", "none"]);

export class Query {
  readonly #text: string;
  #parsed: URLSearchParams | undefined;

  /** @param text Without the question mark. */
  constructor(text: string) {
    this.#text = text;
  }

  get #values(): URLSearchParams {
    return (this.#parsed ??= new URLSearchParams(this.#text));
  }

  /** The first value; undefined when it is absent or empty, which always mean the same. @throws invalid-argument when it contains a NUL byte */
  get(name: string): string | undefined {
    if (this.#text === "") return undefined;
    const value = this.#values.get(name) || undefined;
    if (value !== undefined) refuseNul(name, value);
    return value;
  }

  all(name: string): string[] {
    if (this.#text === "") return [];
    const values = this.#values.getAll(name);
    for (const value of values) refuseNul(name, value);
    return values;
  }

  has(name: string): boolean {
    return this.#text !== "" && this.#values.has(name);
  }

  /** Absent is false; every word that is not a word for "no" is true. */
  boolean(name: string): boolean {
    const value = this.get(name);
    return value !== undefined && !falseWords.has(value.trim().toLowerCase());
  }

  booleanOr(name: string, absent: boolean): boolean {
    return this.has(name) ? this.boolean(name) : absent;
  }

  /** @throws invalid-argument when it is no whole number */
  integer(name: string): number | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const number = /^[+-]?\d{1,15}$/.test(value) ? Number(value) : undefined;
    if (number === undefined)
      throw new EngineError(
        "invalid-argument",
        `invalid value ${JSON.stringify(value)} for '${name}': not a whole number`,
      );
    return number;
  }

  /** A size of a terminal. @throws invalid-argument */
  cells(name: "h" | "w"): number {
    const value = this.#text === "" ? "" : (this.#values.get(name) ?? "");
    const what = `invalid resize ${name === "h" ? "height" : "width"} ${JSON.stringify(value)}`;
    if (!/^-?\d+$/.test(value)) throw new EngineError("invalid-argument", `${what}: invalid syntax`);
    const number = Number(value);
    if (value.startsWith("-") || number > 0xffff_ffff)
      throw new EngineError("invalid-argument", `${what}: value out of range`);
    return number;
  }

  /**
   * Unix seconds with a fraction, in nanoseconds. `quote` is the quotation mark that Docker uses for the name in this endpoint's error.
   * @throws invalid-argument
   */
  timestamp(name: string, quote: string): bigint | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const time = parseUnixTime(value);
    if ("problem" in time)
      throw new EngineError(
        "invalid-argument",
        `invalid value for ${quote}${name}${quote}: invalid timestamp ${JSON.stringify(value)}: ${time.problem}`,
      );
    return time.ns;
  }

  /** @throws invalid-argument "invalid filter", after `prefix` */
  filters(prefix = ""): Filters {
    const text = this.get("filters");
    if (text === undefined) return {};
    const filters = parseFilters(text);
    if (filters === undefined) throw new EngineError("invalid-argument", `${prefix}invalid filter`);
    return filters;
  }

  /** A platform as JSON, as in newer endpoints. @throws invalid-argument */
  jsonPlatform(name = "platform"): Platform | undefined {
    const text = this.get(name);
    return text === undefined ? undefined : decodePlatform(text);
  }
}

function refuseNul(name: string, value: string): void {
  if (value.includes("\0"))
    throw new EngineError("invalid-argument", `bad parameter: ${name}: ${JSON.stringify(value)} holds a NUL byte`);
}
