import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, args } = context;
  const [network = "", container = ""] = args;
  const client = await connect(context);
  await client.send("POST", `/networks/${encodeURIComponent(network)}/disconnect`, {
    body: { Container: container, Force: flags.bool("force") },
  });
  return 0;
}
