/** The flags before the command, and which daemon they mean. Docker's order: --host, --context, DOCKER_HOST, DOCKER_CONTEXT, the context in use. */
import { defaultHost } from "@fathom/client";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isObject } from "@fathom/spec";
import type { GlobalOptions } from "./command.ts";
import type { FlagTable, ParsedFlags } from "./flags.ts";
import { PlainError } from "./plain-error.ts";

export const globalFlags: FlagTable = [
  { name: "config", type: "string", help: "Directory of config.json with registry credentials", complete: "files" },
  {
    name: "context",
    shorthand: "c",
    type: "string",
    help: "Name of the context with the daemon's address",
    complete: "contexts",
  },
  { name: "debug", shorthand: "D", type: "bool", help: "Print more details of errors" },
  { name: "host", shorthand: "H", type: "list", help: "Address of the daemon (unix:///path, tcp://host:port)" },
  {
    name: "log-level",
    shorthand: "l",
    type: "string",
    default: "info",
    help: 'The same as --debug when it is "debug"',
    complete: ["debug", "info", "warn", "error", "fatal"],
  },
  { name: "tls", type: "bool", help: "Use TLS" },
  { name: "tlscacert", type: "string", help: "Trust only certificates of this authority", complete: "files" },
  { name: "tlscert", type: "string", help: "The client's certificate", complete: "files" },
  { name: "tlskey", type: "string", help: "The client's key", complete: "files" },
  { name: "tlsverify", type: "bool", help: "Use TLS and verify the daemon's certificate" },
  { name: "version", shorthand: "v", type: "bool", help: "Print the version and exit" },
];

type Variables = Readonly<Record<string, string | undefined>>;

/** The context that `context use` has chosen. This is read at each start, so the code for contexts is loaded only when there is one. */
function chosenContext(configDirectory: string): string {
  try {
    const config: unknown = JSON.parse(readFileSync(join(configDirectory, "config.json"), "utf8"));
    if (isObject(config) && typeof config["currentContext"] === "string") return config["currentContext"];
  } catch {
    // Without a readable file, the default is in use. A command that needs the file itself reports what is wrong with it.
  }
  return "";
}

/** @throws PlainError in docker's words */
export async function globalOptions(flags: ParsedFlags, variables: Variables): Promise<GlobalOptions> {
  const level = flags.string("log-level");
  if (!["debug", "info", "warn", "warning", "error", "fatal", "panic", "trace"].includes(level.toLowerCase()))
    throw new PlainError(`Unable to parse logging level: ${level}`);
  const configDirectory =
    flags.string("config") || (variables["DOCKER_CONFIG"] ?? `${variables["HOME"] ?? "/root"}/.docker`);
  const hosts = flags.list("host");
  const host = hosts.at(-1) || variables["FATHOM_HOST"] || variables["DOCKER_HOST"] || "";
  const named = flags.string("context");
  if (named !== "" && hosts.length > 0)
    throw new PlainError("conflicting options: cannot specify both --host and --context");
  const context =
    named || (host !== "" ? "" : variables["DOCKER_CONTEXT"] || chosenContext(configDirectory)) || "default";
  const options = {
    configDirectory,
    context,
    defaultHost: host || defaultHost,
    debug: flags.bool("debug") || level.toLowerCase() === "debug",
  };
  if (context !== "default") {
    const { contextAddress } = await import("../config/context-address.ts");
    return {
      ...options,
      hostIsExplicit: true,
      // A command that needs no daemon also works with a context that is lost.
      address: () => contextAddress(configDirectory, context),
    };
  }
  const wantsTls = flags.bool("tls") || flags.bool("tlsverify") || (variables["DOCKER_TLS_VERIFY"] ?? "") !== "";
  const address = { host: options.defaultHost };
  if (!wantsTls) return { ...options, hostIsExplicit: host !== "", address: () => address };
  const { tlsFromFiles } = await import("../config/context-address.ts");
  return {
    ...options,
    hostIsExplicit: host !== "",
    address: () => ({
      ...address,
      tls: tlsFromFiles({
        folder: variables["DOCKER_CERT_PATH"] || configDirectory,
        authorities: flags.string("tlscacert"),
        certificate: flags.string("tlscert"),
        key: flags.string("tlskey"),
        verify: flags.changed("tlsverify") ? flags.bool("tlsverify") : (variables["DOCKER_TLS_VERIFY"] ?? "") !== "",
      }),
    }),
  };
}
