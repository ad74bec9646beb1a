import { EngineError } from "@fathom/base";
import { renameSync, rmSync } from "node:fs";
import type { CommandContext } from "../../grammar/command.ts";
import { platformQuery } from "../../session/platform-query.ts";
import { connect } from "../../session/session.ts";
import { writeAll } from "../../output/terminal.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const output = flags.string("output");
  if (output === "" && stdout.isTerminal)
    throw new EngineError("invalid-argument", "cowardly refusing to save to a terminal. Use the -o flag or redirect");
  const client = await connect(context);
  const platform = platformQuery(flags.string("platform"));
  const names = context.args
    .map((name) => `names=${encodeURIComponent(name)}`)
    .concat(platform === undefined ? [] : [`platform=${encodeURIComponent(platform)}`])
    .join("&");
  const response = await client.request("GET", `/images/get?${names}`);
  if (response.body === null) return 0;
  if (output === "") {
    for await (const chunk of response.body) writeAll(1, chunk);
    return 0;
  }
  // A broken download must not leave half an archive under the final name.
  const temporary = `${output}.fathom-${process.pid}`;
  try {
    const file = Bun.file(temporary).writer();
    for await (const chunk of response.body) {
      file.write(chunk);
      await file.flush();
    }
    await file.end();
    renameSync(temporary, output);
  } finally {
    rmSync(temporary, { force: true });
  }
  return 0;
}
