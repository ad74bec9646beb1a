import { changeConfig, readConfig } from "../../config/config-file.ts";
import { checkContextName, defaultContext, readContext } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";

export async function run({ args, global, stdout, stderr, environment }: CommandContext): Promise<number> {
  const [name = ""] = args;
  const directory = global.configDirectory;
  if (name !== defaultContext) {
    checkContextName(name);
    readContext(directory, name);
  }
  const chosen = name === defaultContext ? "" : name;
  if ((readConfig(directory).currentContext ?? "") !== chosen)
    changeConfig(directory, (document) => {
      if (chosen === "") delete document["currentContext"];
      else document["currentContext"] = chosen;
    });
  stdout.write(`${name}\n`);
  stderr.write(`Current context is now ${JSON.stringify(name)}\n`);
  const variable = ["FATHOM_HOST", "DOCKER_HOST"].find((one) => (environment[one] ?? "") !== "");
  if (chosen !== "" && variable !== undefined)
    stderr.write(
      `Warning: ${variable} environment variable overrides the active context. To use ${JSON.stringify(name)}, either set the global --context flag, or unset ${variable} environment variable.\n`,
    );
  return 0;
}
