import { demultiplex } from "@fathom/client";
import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";
import { writeAll } from "../../output/terminal.ts";
import { timestampQuery } from "../../output/timestamps.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const [name] = context.args;
  const path = `/containers/${encodeURIComponent(name!)}`;
  const { Config } = await client.json<{ Config: { Tty: boolean } }>("GET", `${path}/json`);
  const response = await client.request("GET", `${path}/logs`, {
    query: {
      stdout: 1,
      stderr: 1,
      follow: flags.bool("follow") ? 1 : undefined,
      details: flags.bool("details") ? 1 : undefined,
      timestamps: flags.bool("timestamps") ? 1 : undefined,
      tail: flags.string("tail"),
      since: timestampQuery(flags.string("since"), "since"),
      until: timestampQuery(flags.string("until"), "until"),
    },
  });
  if (response.body === null) return 0;
  if (Config.Tty) for await (const chunk of response.body) writeAll(1, chunk);
  else for await (const { stream, data } of demultiplex(response.body)) writeAll(stream === 2 ? 2 : 1, data);
  return 0;
}
