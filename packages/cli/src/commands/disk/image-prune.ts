import { humanSize } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { confirmed } from "../../session/confirm.ts";
import { connect } from "../../session/session.ts";
import { pruneImages } from "./prune.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const all = flags.bool("all");
  await confirmed(
    context,
    all
      ? "WARNING! This will remove all images without at least one container associated to them."
      : "WARNING! This will remove all dangling images.",
  );
  const { text, bytes } = await pruneImages(await connect(context), flags.list("filter"), all);
  stdout.write(`${text}Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
