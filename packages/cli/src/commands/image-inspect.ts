import type { CommandContext } from "../command.ts";
import { inspectObjects } from "../inspect-objects.ts";
import { connect } from "../session.ts";

export async function run(context: CommandContext): Promise<number> {
  return inspectObjects(await connect(context), context, ["image"], context.flags.string("platform"));
}
