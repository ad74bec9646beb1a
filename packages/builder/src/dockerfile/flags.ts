/** Flags of instructions: `--from=build`, `--link`. */
import { wrong } from "./dockerfile-error.ts";
import { suggestion } from "./suggest.ts";
import { unquote, type Escape } from "./words.ts";

/** "many": the flag may be repeated. */
export type FlagKind = "text" | "boolean" | "many";

export interface Flags {
  text(name: string): string | undefined;
  boolean(name: string): boolean | undefined;
  many(name: string): readonly string[];
}

/** @throws DockerfileError for a flag that the instruction does not have, in Docker's words */
export function readFlags(words: readonly string[], known: Readonly<Record<string, FlagKind>>, escape: Escape): Flags {
  const values = new Map<string, string[]>();
  for (const word of words) {
    const [, name = "", value] = /^--([^=]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined)
      throw wrong(`unknown flag: --${name}${suggestion(name, Object.keys(known)).replace("mean ", "mean --")}`);
    if (kind !== "many" && values.has(name)) throw wrong(`duplicate flag specified: --${name}`);
    if (value === undefined && kind !== "boolean") throw wrong(`missing a value on flag: --${name}`);
    values.set(name, [...(values.get(name) ?? []), unquoted(value ?? "true", escape)]);
  }
  return {
    text: (name) => values.get(name)?.[0],
    boolean(name) {
      const value = values.get(name)?.[0]?.toLowerCase();
      if (value === undefined || value === "true" || value === "false")
        return value === undefined ? undefined : value === "true";
      throw wrong(`expecting boolean value for flag ${name}, not: ${value}`);
    },
    many: (name) => values.get(name) ?? [],
  };
}

/** Quotes around the whole value are dropped; those in it stay for the expansion of variables. */
function unquoted(value: string, escape: Escape): string {
  return /^(["']).*\1$/s.test(value) && !value.includes("$") ? unquote(value, escape) : value;
}
