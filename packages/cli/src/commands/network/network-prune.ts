import type { CommandContext } from "../../grammar/command.ts";
import { confirmed } from "../../session/confirm.ts";
import { connect } from "../../session/session.ts";
import { pruneNetworks } from "../disk/prune.ts";

export async function run(context: CommandContext): Promise<number> {
  await confirmed(context, "WARNING! This will remove all custom networks not used by at least one container.");
  const { text } = await pruneNetworks(await connect(context), context.flags.list("filter"));
  context.stdout.write(text);
  return 0;
}
