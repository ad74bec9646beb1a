import type { CommandContext } from "../../grammar/command.ts";
import { inspectObjects } from "../../session/inspect-objects.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  return inspectObjects(await connect(context), context, ["volume"]);
}
