import { humanSize } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { confirmed } from "../../session/confirm.ts";
import { connect } from "../../session/session.ts";
import { pruneVolumes } from "./prune.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const filters = [...flags.list("filter")];
  if (flags.bool("all")) {
    if (filters.some((filter) => /^all=/i.test(filter)))
      throw new Error("conflicting options: cannot specify both --all and --filter all=1");
    filters.push("all=true");
  }
  await confirmed(
    context,
    flags.bool("all")
      ? "WARNING! This will remove all local volumes not used by at least one container."
      : "WARNING! This will remove anonymous local volumes not used by at least one container.",
  );
  const { text, bytes } = await pruneVolumes(await connect(context), filters);
  stdout.write(`${text}Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
