import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";

/** By `Kind`: changed, added, deleted. */
const kinds = ["C", "A", "D"];

export async function run(context: CommandContext): Promise<number> {
  const [name = ""] = context.args;
  if (name === "") throw new Error("Container name cannot be empty");
  const client = await connect(context);
  const changes = await client.list<{ Path: string; Kind: number }>(
    "GET",
    `/containers/${encodeURIComponent(name)}/changes`,
  );
  context.stdout.write(changes.map(({ Kind, Path }) => `${kinds[Kind] ?? Kind} ${Path}\n`).join(""));
  return 0;
}
