/** `fathom daemon --help`, from the table of options. */
import { flagUsages, type FlagType } from "@fathom/cli";
import { daemonOptions, type OptionKind } from "./daemon-options.ts";

const types: Readonly<Record<OptionKind, FlagType>> = {
  boolean: "bool",
  string: "string",
  integer: "int",
  list: "list",
  map: "map",
  ulimits: "list",
  size: "string",
  pools: "list",
};

export function daemonHelp(): string {
  const flags = daemonOptions
    .filter((option) => option.unsupported !== true)
    .map(({ flag, short, kind, help, default: usual }) => ({
      name: flag,
      ...(short === undefined ? {} : { shorthand: short }),
      type: types[kind],
      help,
      ...(usual === undefined ? {} : { default: usual }),
    }));
  const columns = process.stdout.isTTY ? process.stdout.columns : 80;
  return `Usage:  fathom daemon [OPTIONS]\n\nRun the engine and serve its API\n\nOptions:\n${flagUsages(flags, columns)}\nThe configuration file may contain the same settings. For options of dockerd that this engine does not have, the error names them.\n`;
}
