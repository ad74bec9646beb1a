import type { CommandContext } from "../../grammar/command.ts";

export async function run({ global, stdout }: CommandContext): Promise<number> {
  stdout.write(`${global.context}\n`);
  return 0;
}
