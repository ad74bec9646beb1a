import { parseReference } from "@fathom/spec";
import type { CommandContext } from "../../grammar/command.ts";
import { printProgress, type ProgressMessage } from "../../output/progress.ts";
import { openUserFile } from "../../run-options/files.ts";
import { queryText } from "../../session/query-text.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const [source = "", reference = ""] = context.args;
  const remote = /^https?:\/\//.test(source);
  const stream = remote ? undefined : (source === "-" ? Bun.stdin : openUserFile(source)).stream();
  if (reference !== "") parseReference(reference);
  const client = await connect(context);
  const query = queryText({
    fromSrc: remote ? source : "-",
    repo: reference === "" ? undefined : reference,
    message: flags.string("message") || undefined,
    platform: flags.string("platform").toLowerCase() || undefined,
    changes: flags.list("change"),
  });
  await printProgress(
    client.messages<ProgressMessage>("POST", `/images/create${query}`, stream === undefined ? {} : { stream }),
    stdout,
  );
  return 0;
}
