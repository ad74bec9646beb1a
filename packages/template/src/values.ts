/** How Go prints and compares JSON values, and which values Go counts as true. */
import { TemplateError } from "./contract.ts";

/** A value as fmt prints it with %v: maps sorted by key, slices in brackets. */
export function printValue(value: unknown): string {
  if (value === undefined) return "<no value>";
  if (value === null) return "<no value>";
  return printInner(value);
}

function printInner(value: unknown): string {
  if (value === undefined || value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(printInner).join(" ")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, item]) => `${key}:${printInner(item)}`).join(" ")}]`;
  }
  if (typeof value === "number" && !Number.isInteger(value)) return String(value);
  return String(value);
}

/** Go's truth of a value: a zero value and an empty value are false. */
export function isTrue(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object") return Object.keys(value).length > 0;
  return true;
}

export function lengthOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value !== null && typeof value === "object") return Object.keys(value).length;
  throw new TemplateError(
    value === null || value === undefined
      ? "error calling len: len of nil pointer"
      : `error calling len: len of type ${typeof value}`,
  );
}

export function equal(a: unknown, b: unknown): boolean {
  if (a === undefined || a === null || b === undefined || b === null) return (a ?? null) === (b ?? null);
  if (typeof a === "object" || typeof b === "object")
    throw new TemplateError("error calling eq: incompatible types for comparison");
  if (typeof a !== typeof b) throw new TemplateError("error calling eq: incompatible types for comparison");
  return a === b;
}

export function less(a: unknown, b: unknown): boolean {
  if (typeof a === "number" && typeof b === "number") return a < b;
  if (typeof a === "string" && typeof b === "string") return a < b;
  throw new TemplateError("error calling lt: incompatible types for comparison");
}

/** A number with all its digits. JavaScript has this feature, but TypeScript's types do not have it yet. */
const { rawJSON: rawJson } = JSON as typeof JSON & { rawJSON(text: string): unknown };

/** JSON as Go's encoder with HTML escaping off. */
export function toJson(value: unknown): string {
  return JSON.stringify(value ?? null, (_, inner: unknown) =>
    typeof inner === "bigint" ? rawJson(String(inner)) : inner,
  );
}

/** The verbs of fmt.Sprintf that formats use. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let used = 0;
  return format.replace(
    /%([-+# 0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (whole, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      if (used >= args.length) return `%!${verb}(MISSING)`;
      const value = args[used++];
      let text: string;
      switch (verb) {
        case "s":
        case "v":
          text = printInner(value);
          if (precision !== undefined) text = text.slice(0, Number(precision));
          break;
        case "d":
          text = typeof value === "number" ? String(Math.trunc(value)) : `%!d(${typeof value}=${printInner(value)})`;
          break;
        case "q":
          text = JSON.stringify(printInner(value));
          break;
        case "x":
          text = typeof value === "number" ? value.toString(16) : Buffer.from(printInner(value)).toString("hex");
          break;
        case "t":
          text = String(value);
          break;
        case "f":
          text = Number(value).toFixed(precision === undefined ? 6 : Number(precision));
          break;
        default:
          return whole;
      }
      if (width === undefined) return text;
      if (flags.includes("-")) return text.padEnd(Number(width));
      return text.padStart(Number(width), flags.includes("0") && verb !== "s" ? "0" : " ");
    },
  );
}
