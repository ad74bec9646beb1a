import { EngineError } from "@fathom/base";
import { attachToContainer } from "../../session/attach-container.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { errorLine } from "../../session/each.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, args, stdout, stderr } = context;
  const client = await connect(context);
  const path = (name: string): string => `/containers/${encodeURIComponent(name)}`;
  if (flags.bool("attach") || flags.bool("interactive")) {
    if (args.length > 1)
      throw new EngineError("invalid-argument", "you cannot start and attach multiple containers at once");
    const found = await client.json<{ Id: string; Config: { Tty: boolean; OpenStdin: boolean } }>(
      "GET",
      `${path(args[0]!)}/json`,
    );
    return attachToContainer(client, {
      id: found.Id,
      tty: found.Config.Tty,
      stdin: flags.bool("interactive") && found.Config.OpenStdin,
      detachKeys: flags.string("detach-keys"),
      signals: true,
      condition: "next-exit",
      begin: () => client.send("POST", `${path(found.Id)}/start`),
    });
  }
  const failed: string[] = [];
  for (const name of args) {
    try {
      await client.send("POST", `${path(name)}/start`);
      stdout.write(`${name}\n`);
    } catch (error) {
      stderr.write(`${errorLine(error)}\n`);
      failed.push(name);
    }
  }
  if (failed.length === 0) return 0;
  stderr.write(`Error: failed to start containers: ${failed.join(", ")}\n`);
  return 1;
}
