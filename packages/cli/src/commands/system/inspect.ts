import type { CommandContext } from "../../grammar/command.ts";
import { inspectObjects, objectKinds, type ObjectKind } from "../../session/inspect-objects.ts";
import { connect } from "../../session/session.ts";

/** When the user gives no type, the kinds are tried in this order. */
const usual: readonly ObjectKind[] = ["container", "image", "network", "volume"];

export async function run(context: CommandContext): Promise<number> {
  const type = context.flags.string("type");
  const wanted = type === "" ? usual : objectKinds.filter((kind) => kind === type);
  if (wanted.length === 0)
    throw new Error(
      `unknown type: ${JSON.stringify(type)}: must be one of ${objectKinds.map((kind) => JSON.stringify(kind)).join(", ")}`,
    );
  return inspectObjects(await connect(context), context, wanted);
}
