import { messageOf } from "@fathom/base";
import { hostOf, hubServer } from "../../config/credentials.ts";
import { eraseCredentials } from "../../config/credential-store.ts";
import type { CommandContext } from "../../grammar/command.ts";

export async function run({ args, global, stdout, stderr }: CommandContext): Promise<number> {
  const [server = ""] = args;
  const host = server === "" ? hubServer : hostOf(server);
  // Older versions of docker kept a registry's credentials under each of these keys.
  const keys = server === "" ? [hubServer] : [...new Set([server, host, `http://${host}`, `https://${host}`])];
  stdout.write(`Removing login credentials for ${host}\n`);
  const failures: string[] = [];
  for (const key of keys) {
    try {
      await eraseCredentials(global.configDirectory, key);
    } catch (error) {
      failures.push(`${key}: ${messageOf(error)}\n`);
    }
  }
  if (failures.length === keys.length) stderr.write(`WARNING: could not erase credentials:\n${failures.join("")}`);
  return 0;
}
