/** Flags as runc's own parser reads them: "-name value", "--name=value"; a switch takes no value, or "=true" and "=false". */
import { EngineError } from "@fathom/base";

/** Name → whether it has a value. Other names for the same flag are in `aliases`. */
export interface FlagTable {
  /** Flags with a value. */
  readonly values: readonly string[];
  /** Flags that may be given several times. */
  readonly lists?: readonly string[];
  readonly switches: readonly string[];
  /** Other name → name. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** What follows the first argument belongs to another program. */
  readonly stopsAtArgument?: boolean;
}

export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly args: readonly string[];

  constructor(values: ReadonlyMap<string, readonly string[]>, args: readonly string[]) {
    this.#values = values;
    this.args = args;
  }

  /** The last one that was given; undefined for none and for an empty text. */
  text(name: string): string | undefined {
    const value = this.#values.get(name)?.at(-1);
    return value === "" ? undefined : value;
  }

  /** All that were given. */
  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  on(name: string): boolean {
    return this.#values.get(name)?.at(-1) === "true";
  }

  /** @throws invalid-argument */
  wholeNumber(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (!/^-?\d+$/.test(value) || !Number.isSafeInteger(number))
      throw new EngineError("invalid-argument", `invalid value "${value}" for flag -${name}: parse error`);
    return number;
  }
}

/** @throws invalid-argument for a flag that the table does not have */
export function parseFlags(argv: readonly string[], table: FlagTable): Flags {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const withValue = new Set([...table.values, ...(table.lists ?? [])]);
  const switches = new Set(table.switches);
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") {
      args.push(...argv.slice(at + 1));
      break;
    }
    // "-" is a file name, and "-9" a signal.
    if (!/^--?[A-Za-z]/.test(word)) {
      args.push(word);
      if (table.stopsAtArgument !== true) continue;
      args.push(...argv.slice(at + 1));
      break;
    }
    const [, given = "", equals, own = ""] = /^--?([^=]+)(=)?([\s\S]*)$/.exec(word) ?? [];
    const name = table.aliases?.[given] ?? given;
    let value: string;
    if (withValue.has(name)) {
      const next = equals === undefined ? argv[++at] : own;
      if (next === undefined) throw new EngineError("invalid-argument", `flag needs an argument: -${given}`);
      value = next;
    } else if (switches.has(name)) {
      value = equals === undefined ? "true" : own;
      if (value !== "true" && value !== "false")
        throw new EngineError("invalid-argument", `invalid boolean value "${value}" for -${given}: parse error`);
    } else throw new EngineError("invalid-argument", `flag provided but not defined: -${given}`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return new Flags(values, args);
}
