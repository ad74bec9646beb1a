import { canonicalString, familiarName, parsePlatform, parseReference, withDefaultTag } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { authHeader, credentialsOf } from "../../config/credentials.ts";
import { printProgress, type ProgressMessage } from "../../output/progress.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout, stderr, global } = context;
  const all = flags.bool("all-tags");
  const quiet = flags.bool("quiet");
  const platform = flags.string("platform");
  if (platform !== "")
    stderr.write(
      "\ni Info → Using --platform pushes only the specified platform manifest of a multi-platform image index.\n" +
        "         Other components, like attestations, will not be included.\n" +
        "         To push the complete multi-platform image, remove the --platform flag.\n\n",
    );
  const given = parseReference(context.args[0]!);
  const bare = given.tag === undefined;
  if (all && !(bare && given.digest === undefined)) throw new Error("tag can't be used with --all-tags/-a");
  if (given.digest !== undefined) throw new Error("cannot push a digest reference");
  const reference = all ? given : withDefaultTag(given);
  if (!all && bare && !quiet) stdout.write(`Using default tag: ${reference.tag}\n`);
  const auth = await credentialsOf(reference.registry, global.configDirectory);
  const client = await connect(context);
  const messages = client.messages<ProgressMessage>("POST", `/images/${familiarName(reference)}/push`, {
    query: {
      tag: all ? undefined : reference.tag,
      platform: platform === "" ? undefined : JSON.stringify(parsePlatform(platform)),
    },
    headers: authHeader(auth),
  });
  await printProgress(messages, stdout, quiet);
  if (quiet) stdout.write(`${canonicalString(reference)}\n`);
  return 0;
}
