import type { CommandContext } from "../../grammar/command.ts";
import { keyValueMap } from "../../run-options/files.ts";
import { connect } from "../../session/session.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const client = await connect(context);
  const { Name } = await client.json<{ Name: string }>("POST", "/volumes/create", {
    body: {
      Name: context.args[0] ?? "",
      Driver: flags.string("driver"),
      DriverOpts: keyValueMap(flags.list("opt")),
      Labels: keyValueMap(flags.list("label")),
    },
  });
  stdout.write(`${Name}\n`);
  return 0;
}
