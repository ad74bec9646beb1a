import { humanSize } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { parseBytes } from "../../run-options/values.ts";
import { confirmed } from "../../session/confirm.ts";
import { connect } from "../../session/session.ts";
import { pruneBuildCache } from "./prune.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const all = flags.bool("all");
  await confirmed(
    context,
    all ? "WARNING! This will remove all build cache." : "WARNING! This will remove all dangling build cache.",
  );
  const keep = flags.string("keep-storage");
  const keepBytes = keep === "" ? undefined : parseBytes(keep);
  const { text, bytes } = await pruneBuildCache(await connect(context), flags.list("filter"), all, keepBytes);
  stdout.write(`${text}Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
