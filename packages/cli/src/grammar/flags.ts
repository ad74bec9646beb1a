import { parseBool } from "@fathom/spec"; /**
 * A table-driven parser with pflag's grammar and messages: long and short flags, clusters (`-it`), `--flag=value`, `--bool=false`, `--`. Some
 * commands stop at the first argument (in `run IMAGE -x`, the program gets -x). Help and completion use the same table.
 */

/** How a value is read. The help shows this word after the flag, unless `typeName` gives another one. */
export type FlagType = "bool" | "string" | "int" | "uint" | "list" | "map";

/** Kinds of names that completion offers. */
export type NameKind = "containers" | "images" | "networks" | "volumes" | "contexts" | "registries";

export interface FlagDefinition {
  readonly name: string;
  readonly shorthand?: string;
  readonly type: FlagType;
  /** The word in the help ("bytes", "mount", "network"); by default the type. */
  readonly typeName?: string;
  readonly help: string;
  /** The help shows it as "(default …)". The accessors return it when the flag is absent. */
  readonly default?: string | number | boolean;
  readonly hidden?: boolean;
  /** For completion: a fixed set of values, the kind of names, or what `cp` takes: a file, or a container with a colon. */
  readonly complete?: readonly string[] | NameKind | "files" | "copy";
  /** Checks one value; throws an Error whose message becomes the rest of `invalid argument "v" for "--flag" flag: …`. */
  readonly check?: (value: string) => void;
}

export type FlagTable = readonly FlagDefinition[];

export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Parsed flags. An accessor throws for a name that is not in the table: that is a bug of the command. */
export class ParsedFlags {
  readonly #table: ReadonlyMap<string, FlagDefinition>;
  readonly #values = new Map<string, string[]>();
  readonly args: readonly string[];

  constructor(
    table: ReadonlyMap<string, FlagDefinition>,
    values: ReadonlyMap<string, string[]>,
    args: readonly string[],
  ) {
    this.#table = table;
    this.#values = new Map(values);
    this.args = args;
  }

  #definition(name: string): FlagDefinition {
    const definition = this.#table.get(name);
    if (definition === undefined) throw new Error(`flag --${name} is not in the command's table`);
    return definition;
  }

  /** True when the user gave the flag. */
  changed(name: string): boolean {
    this.#definition(name);
    return this.#values.has(name);
  }

  bool(name: string): boolean {
    const definition = this.#definition(name);
    const given = this.#values.get(name)?.at(-1);
    return given === undefined ? definition.default === true : given === "true";
  }

  /** The last given value, else the default, else "". */
  string(name: string): string {
    const definition = this.#definition(name);
    return this.#values.get(name)?.at(-1) ?? (definition.default === undefined ? "" : String(definition.default));
  }

  int(name: string): number {
    return Number(this.string(name) || 0);
  }

  list(name: string): readonly string[] {
    this.#definition(name);
    return this.#values.get(name) ?? [];
  }
}

function displayName(definition: FlagDefinition): string {
  return definition.shorthand === undefined ? `--${definition.name}` : `-${definition.shorthand}, --${definition.name}`;
}

/** Go quotes a value with %q. For what users type, JSON quotes in the same way. */
function quote(text: string): string {
  return JSON.stringify(text);
}

function checkedValue(definition: FlagDefinition, value: string): string {
  const refuse = (reason: string): never => {
    throw new UsageError(`invalid argument ${quote(value)} for "${displayName(definition)}" flag: ${reason}`);
  };
  switch (definition.type) {
    case "bool":
      if (parseBool(value) === undefined) refuse(`strconv.ParseBool: parsing ${quote(value)}: invalid syntax`);
      break;
    case "int":
      if (!/^[+-]?\d+$/.test(value)) refuse(`strconv.ParseInt: parsing ${quote(value)}: invalid syntax`);
      break;
    case "uint":
      if (!/^\d+$/.test(value)) refuse(`strconv.ParseUint: parsing ${quote(value)}: invalid syntax`);
      break;
    case "string":
    case "list":
    case "map":
      break;
  }
  try {
    definition.check?.(value);
  } catch (error) {
    refuse(error instanceof Error ? error.message : String(error));
  }
  return definition.type === "bool" ? String(parseBool(value)) : value;
}

export interface ParseOptions {
  /** Stop at the first argument: it and all following words belong to the program. */
  readonly stopAtArgument: boolean;
}

/** @throws UsageError in pflag's words. Every table has the flags `--help` and `-h` (`-h` only if no other flag has that shorthand). */
export function parseFlags(table: FlagTable, argv: readonly string[], options: ParseOptions): ParsedFlags {
  const byName = new Map(table.map((definition) => [definition.name, definition]));
  if (!byName.has("help")) byName.set("help", { name: "help", type: "bool", help: "Print usage", hidden: true });
  const byShorthand = new Map<string, FlagDefinition>();
  for (const definition of byName.values())
    if (definition.shorthand !== undefined) byShorthand.set(definition.shorthand, definition);
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const set = (definition: FlagDefinition, value: string): void => {
    const checked = checkedValue(definition, value);
    const before = values.get(definition.name);
    if (before === undefined) values.set(definition.name, [checked]);
    else before.push(checked);
  };

  let index = 0;
  const next = (): string | undefined => argv[++index];
  for (; index < argv.length; index++) {
    const word = argv[index]!;
    if (word === "--") {
      args.push(...argv.slice(index + 1));
      break;
    }
    if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const name = word.slice(2, equals < 0 ? undefined : equals);
      const definition = byName.get(name);
      if (name === "" || definition === undefined) {
        throw new UsageError(
          name === "" || name.startsWith("-") ? `bad flag syntax: ${word}` : `unknown flag: --${name}`,
        );
      }
      if (equals >= 0) set(definition, word.slice(equals + 1));
      else if (definition.type === "bool") set(definition, "true");
      else {
        const value = next();
        if (value === undefined) throw new UsageError(`flag needs an argument: --${name}`);
        set(definition, value);
      }
    } else if (word.startsWith("-") && word.length > 1) {
      for (let position = 1; position < word.length; position++) {
        const letter = word[position]!;
        const definition = byShorthand.get(letter) ?? (letter === "h" ? byName.get("help") : undefined);
        if (definition === undefined) throw new UsageError(`unknown shorthand flag: '${letter}' in ${word}`);
        const rest = word.slice(position + 1);
        if (rest.startsWith("=") && rest.length > 1) {
          set(definition, rest.slice(1));
          break;
        }
        if (definition.type === "bool") {
          set(definition, "true");
          continue;
        }
        if (rest !== "") {
          set(definition, rest);
          break;
        }
        const value = next();
        if (value === undefined) throw new UsageError(`flag needs an argument: '${letter}' in ${word}`);
        set(definition, value);
        break;
      }
    } else {
      if (options.stopAtArgument) {
        args.push(...argv.slice(index));
        break;
      }
      args.push(word);
    }
  }
  return new ParsedFlags(byName, values, args);
}
