import { humanSize } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { confirmed } from "../../session/confirm.ts";
import { connect } from "../../session/session.ts";
import { pruneContainers } from "./prune.ts";

export async function run(context: CommandContext): Promise<number> {
  await confirmed(context, "WARNING! This will remove all stopped containers.");
  const { text, bytes } = await pruneContainers(await connect(context), context.flags.list("filter"));
  context.stdout.write(`${text}Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
