import { EngineError } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { connect } from "../../session/session.ts";
import { attachToContainer } from "../../session/attach-container.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context;
  const client = await connect(context);
  const [name] = context.args;
  const found = await client.json<{
    Id: string;
    State: { Running: boolean; Paused: boolean; Restarting: boolean };
    Config: { Tty: boolean; OpenStdin: boolean };
  }>("GET", `/containers/${encodeURIComponent(name!)}/json`);
  if (!found.State.Running)
    throw new EngineError("conflict", "You cannot attach to a stopped container, start it first");
  if (found.State.Paused)
    throw new EngineError("conflict", "You cannot attach to a paused container, unpause it first");
  if (found.State.Restarting)
    throw new EngineError("conflict", "You cannot attach to a restarting container, wait until it is running");
  return attachToContainer(client, {
    id: found.Id,
    tty: found.Config.Tty,
    stdin: found.Config.OpenStdin && !flags.bool("no-stdin"),
    detachKeys: flags.string("detach-keys"),
    signals: flags.bool("sig-proxy"),
    begin: async () => undefined,
    condition: "not-running",
  });
}
