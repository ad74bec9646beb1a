import { EngineError } from "@fathom/base";
import type { CommandContext } from "../../grammar/command.ts";
import { completionScript, shells } from "../../grammar/completion.ts";

export async function run(context: CommandContext): Promise<number> {
  const [shell] = context.args;
  const script = completionScript(shell!);
  if (script === undefined)
    throw new EngineError(
      "invalid-argument",
      `no completion for shell ${JSON.stringify(shell)}: use one of ${shells.join(", ")}`,
    );
  context.stdout.write(script);
  return 0;
}
