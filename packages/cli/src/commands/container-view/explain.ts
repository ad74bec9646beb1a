import { EngineError } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { parseFlags } from "../../grammar/flags.ts";
import { commandHelp } from "../../grammar/help.ts";
import { buildCreateRequest } from "../../run-options/build.ts";
import { connect } from "../../session/session.ts";
import { terminalSize } from "../../output/terminal.ts";
import { runFlags } from "../run-flags.ts";

const runUsage = "[OPTIONS] IMAGE [COMMAND] [ARG...]";

/** The daemon makes the plan of the run and describes it in words. It creates nothing. */
export async function run(context: CommandContext): Promise<number> {
  const [verb, ...rest] = context.args;
  if (verb !== "run" && verb !== "create")
    throw new EngineError(
      "invalid-argument",
      `nothing to explain in ${JSON.stringify(verb)}: use fathom explain run IMAGE …`,
    );
  const flags = parseFlags(runFlags, rest, { stopAtArgument: true });
  if (flags.bool("help")) {
    const explained = { ...context.command, path: ["explain", verb], usage: runUsage, flags: runFlags };
    context.stdout.write(commandHelp(explained, context.stdout.columns));
    return 0;
  }
  const [image, ...command] = flags.args;
  if (image === undefined)
    throw new EngineError(
      "invalid-argument",
      `fathom explain ${verb} needs an image: fathom explain ${verb} ${runUsage}`,
    );
  const body = buildCreateRequest({
    flags,
    image,
    command,
    variables: context.environment,
    detach: flags.bool("detach"),
    consoleSize: terminalSize(),
  });
  const client = await connect(context);
  const answer = await client.json<{ Text: string }>("POST", "/fathom/explain", {
    body,
    query: { name: flags.string("name") || undefined, platform: flags.string("platform") || undefined },
  });
  context.stdout.write(answer.Text.endsWith("\n") ? answer.Text : `${answer.Text}\n`);
  return 0;
}
