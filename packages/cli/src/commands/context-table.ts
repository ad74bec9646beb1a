/** Commands about contexts: named addresses of daemons, in Docker's own files. */
import type { FlagDefinition } from "../grammar/flags.ts";
import type { Command } from "../grammar/command.ts";
import { checkPairs } from "../run-options/checks.ts";
import { many, none, one } from "./arguments.ts";
import { formatFlag, quietFlag } from "./shared-flags.ts";

const endpointHelp =
  "The endpoint has these parts:\n\n" +
  "  from              take the endpoint of another context\n" +
  "  host              address of the daemon\n" +
  "  ca, cert, key     files with certificates\n" +
  "  skip-tls-verify   do not verify the daemon's certificate";

const endpointFlags: readonly FlagDefinition[] = [
  { name: "description", type: "string", help: "Description" },
  {
    name: "docker",
    type: "map",
    typeName: "stringToString",
    help: "Endpoint: host=tcp://build:2376,ca=ca.pem,…",
    check: checkPairs,
  },
];

export const contextCommands: readonly Command[] = [
  {
    path: ["context", "create"],
    aliases: [],
    usage: "[OPTIONS] CONTEXT",
    summary: "Give a daemon's address a name",
    more: endpointHelp,
    examples: [["context create build --docker host=tcp://build:2376,ca=ca.pem,cert=cert.pem,key=key.pem", "with TLS"]],
    flags: [...endpointFlags, { name: "from", type: "string", help: "Copy this context", complete: "contexts" }],
    args: one,
    load: () => import("./context/context-create.ts"),
  },
  {
    path: ["context", "update"],
    aliases: [],
    usage: "[OPTIONS] CONTEXT",
    summary: "Change a context",
    more: endpointHelp,
    flags: endpointFlags,
    args: one,
    completeArgs: "contexts",
    load: () => import("./context/context-update.ts"),
  },
  {
    path: ["context", "ls"],
    aliases: [["context", "list"]],
    usage: "[OPTIONS]",
    summary: "List contexts",
    flags: [formatFlag, quietFlag("Only names")],
    args: none,
    load: () => import("./context/context-ls.ts"),
  },
  {
    path: ["context", "use"],
    aliases: [],
    usage: "CONTEXT",
    summary: "Use a context from now on",
    flags: [],
    args: one,
    completeArgs: "contexts",
    load: () => import("./context/context-use.ts"),
  },
  {
    path: ["context", "show"],
    aliases: [],
    usage: "",
    summary: "Print the name of the context in use",
    flags: [],
    args: none,
    load: () => import("./context/context-show.ts"),
  },
  {
    path: ["context", "inspect"],
    aliases: [],
    usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
    summary: "Print all details of contexts",
    flags: [{ ...formatFlag, shorthand: "f" }],
    args: { min: 0 },
    completeArgs: "contexts",
    load: () => import("./context/context-inspect.ts"),
  },
  {
    path: ["context", "rm"],
    aliases: [["context", "remove"]],
    usage: "[OPTIONS] CONTEXT [CONTEXT...]",
    summary: "Remove contexts",
    flags: [{ name: "force", shorthand: "f", type: "bool", help: "Even the one in use" }],
    args: many,
    completeArgs: "contexts",
    load: () => import("./context/context-rm.ts"),
  },
  {
    path: ["context", "export"],
    aliases: [],
    usage: "CONTEXT [FILE|-]",
    summary: "Write a context with its certificates to a tar archive",
    flags: [],
    args: { min: 1, max: 2 },
    completeArgs: "contexts",
    load: () => import("./context/context-export.ts"),
  },
  {
    path: ["context", "import"],
    aliases: [],
    usage: "CONTEXT FILE|-",
    summary: "Make a context from an exported one",
    flags: [],
    args: { min: 2, max: 2 },
    completeArgs: "files",
    load: () => import("./context/context-import.ts"),
  },
];
