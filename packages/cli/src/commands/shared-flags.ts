/** Flags that several commands have. */
import type { FlagDefinition } from "../grammar/flags.ts";
import { checkEnvironment, checkNoContentTrust } from "../run-options/checks.ts";

export const filterFlag: FlagDefinition = {
  name: "filter",
  shorthand: "f",
  type: "list",
  typeName: "filter",
  help: "Show only items that meet the conditions (key=value)",
};

export const formatFlag: FlagDefinition = {
  name: "format",
  type: "string",
  help: "Print each item with a Go template: 'table' (default), 'table TEMPLATE', 'json' or 'TEMPLATE'",
};

export const noTruncateFlag: FlagDefinition = { name: "no-trunc", type: "bool", help: "Print whole ids and commands" };

export const quietFlag = (help: string): FlagDefinition => ({ name: "quiet", shorthand: "q", type: "bool", help });

export const detachKeysFlag: FlagDefinition = {
  name: "detach-keys",
  type: "string",
  help: "Key sequence that detaches from the container (ctrl-p,ctrl-q by default)",
};

export const platformFlag: FlagDefinition = {
  name: "platform",
  type: "string",
  help: "Platform to use when an image has several, as os/architecture/variant",
};

export const signalFlag: FlagDefinition = { name: "signal", shorthand: "s", type: "string", help: "Signal to send" };

export const timeoutFlag: FlagDefinition = {
  name: "timeout",
  shorthand: "t",
  type: "int",
  help: "Seconds to wait before the container is killed",
};

export const environmentFlags: readonly FlagDefinition[] = [
  {
    name: "env",
    shorthand: "e",
    type: "list",
    help: "Set an environment variable (NAME=value, or NAME to pass this shell's)",
    check: checkEnvironment,
  },
  { name: "env-file", type: "list", help: "Read environment variables from a file", complete: "files" },
];

/** The older name of --timeout. */
export const timeAliasFlag: FlagDefinition = { name: "time", type: "int", hidden: true, help: "As --timeout" };

/** For commands where -f means --force. */
export const longFilterFlag: FlagDefinition = {
  name: "filter",
  type: "list",
  typeName: "filter",
  help: "Only items that meet the conditions (key=value)",
};

/** Scripts give it with its default value. */
export const contentTrustFlag: FlagDefinition = {
  name: "disable-content-trust",
  type: "bool",
  default: true,
  help: "Do not verify the image; false is refused",
  check: checkNoContentTrust,
};
