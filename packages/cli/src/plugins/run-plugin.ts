/** Runs a plugin in the place of this program: with its terminal, its words, and its exit code. */
import { defaultHost } from "@fathom/client";
import type { GlobalOptions } from "../grammar/command.ts";
import type { Plugin } from "./find-plugins.ts";

/** @param argv All words of the command line, with the flags before the plugin's name: the plugin reads them too. */
export async function runPlugin(
  plugin: Plugin,
  argv: readonly string[],
  global: GlobalOptions,
  variables: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const child = Bun.spawn([plugin.path, ...argv], {
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    env: {
      ...variables,
      // A plugin knows nothing of this program's own default and variable. It reads --host and --context itself.
      ...(global.context === "default"
        ? { DOCKER_HOST: variables["FATHOM_HOST"] || variables["DOCKER_HOST"] || defaultHost }
        : {}),
      DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: process.execPath,
    },
  });
  // A terminal sends the first two to the plugin as well. It decides when it ends, and this program ends after it.
  for (const signal of ["SIGINT", "SIGQUIT"] as const) process.on(signal, () => undefined);
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  // For a plugin that a signal ended, this is 128 and the signal's number, as a shell has it.
  return await child.exited;
}
