import { EngineError } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { printProgress, type ProgressMessage } from "../../output/progress.ts";
import { openUserFile } from "../../run-options/files.ts";
import { platformQuery } from "../../session/platform-query.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const input = flags.string("input");
  if (input === "" && process.stdin.isTTY === true)
    throw new EngineError("invalid-argument", "requested load from stdin, but stdin is empty");
  const file = input === "" ? Bun.stdin : openUserFile(input);
  const client = await connect(context);
  const stream = file.stream();
  const messages = client.messages<ProgressMessage>("POST", "/images/load", {
    query: {
      quiet: flags.bool("quiet") || !stdout.isTerminal ? 1 : 0,
      platform: platformQuery(flags.string("platform")),
    },
    stream,
  });
  await printProgress(messages, stdout);
  return 0;
}
