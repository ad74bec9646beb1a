/** The daemon's flags. */
import { parseArgs } from "node:util";
import { messageOf } from "@fathom/base";
import { daemonOptions, type DaemonOption } from "./daemon-options.ts";
import { OptionValues, type OptionValue } from "./option-values.ts";
import { bytesOf, invalid, booleanOf, parseInteger, parsePool, ulimitOf, splitPair } from "./value-texts.ts";

/** @throws invalid-argument for an unknown flag or an invalid value */
export function parseFlags(argv: readonly string[]): OptionValues {
  const config: Record<string, { type: "boolean" | "string"; short?: string; multiple?: boolean }> = {};
  const expanded: string[] = [];
  for (const { flag, short, kind } of daemonOptions)
    config[flag] = {
      type: kind === "boolean" ? "boolean" : "string",
      multiple: true,
      ...(short === undefined ? {} : { short }),
    };
  // parseArgs has no `--flag=true` for booleans.
  const booleans = new Map<string, boolean[]>();
  for (const word of argv) {
    const match = /^--?([\w-]+)=(.*)$/.exec(word);
    const known =
      match && daemonOptions.find((one) => (one.flag === match[1] || one.short === match[1]) && one.kind === "boolean");
    if (!known) {
      expanded.push(word);
      continue;
    }
    booleans.set(known.flag, [...(booleans.get(known.flag) ?? []), booleanOf(match[2]!, `--${known.flag}`)]);
  }
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: expanded, options: config, allowPositionals: true, strict: true });
  } catch (error) {
    const unknown = /Unknown option '(-+[^']*)'/.exec(messageOf(error))?.[1];
    throw invalid(unknown === undefined ? messageOf(error) : `unknown flag: ${unknown}`);
  }
  if (parsed.positionals.length > 0)
    throw invalid(`"fathom daemon" accepts no arguments, but ${JSON.stringify(parsed.positionals[0])} was given`);
  const values: [string, OptionValue][] = [];
  for (const option of daemonOptions) {
    const given = [parsed.values[option.flag] ?? [], booleans.get(option.flag) ?? []].flat();
    if (given.length > 0) values.push([option.flag, flagValue(option, given)]);
  }
  return new OptionValues(values);
}

function flagValue({ flag, kind }: DaemonOption, given: readonly (string | boolean)[]): OptionValue {
  const name = `--${flag}`;
  const texts = given.map(String);
  const last = texts.at(-1)!;
  switch (kind) {
    case "boolean":
      return { kind, value: given.at(-1) === true };
    case "string":
      return { kind, value: last };
    case "integer":
      return { kind, value: parseInteger(last, name) };
    case "size":
      return { kind, value: bytesOf(last, name) };
    case "list":
      return { kind, value: texts };
    case "map":
      return { kind, value: Object.fromEntries(texts.map((text) => splitPair(text, name))) };
    case "ulimits":
      return { kind, value: texts.map((text) => ulimitOf(text, name)) };
    case "pools":
      return { kind, value: texts.map((text) => parsePool(text, name)) };
  }
}
